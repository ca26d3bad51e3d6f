import io
import json
import re
import sys
from types import SimpleNamespace

import pytest
from small import PAIRS

from flax_transformer.line_batches import standard_input

pytestmark = pytest.mark.platforms


@pytest.mark.usefixtures("trained")
def test_each_line_gives_one_line(run):
    sources = [PAIRS[7].source, "", PAIRS[2].source, "  ", PAIRS[19].source]
    result = run("translate", "--workdir", "run", stdin="\n".join(sources).encode())
    assert result.out == f"{PAIRS[7].target}\n\n{PAIRS[2].target}\n\n{PAIRS[19].target}\n"
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("stdin", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\r\n\r\nb", ["a", "", "b"]),
        ("a\u2028b\n".encode(), ["a\u2028b"]),
    ],
)
def test_only_a_line_feed_ends_a_line_of_standard_input(monkeypatch, stdin, lines):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
    assert list(standard_input(7)) == ([lines] if lines else [])


@pytest.mark.usefixtures("trained")
def test_texts_may_be_arguments(run):
    result = run("translate", PAIRS[1].source, PAIRS[0].source, "--workdir", "run")
    assert result.out == f"{PAIRS[1].target}\n{PAIRS[0].target}\n"
    assert run("translate", "--workdir", "run").out == ""


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("option", ["--n-best", "--decoding.num-best"])
def test_the_best_few_come_with_scores(run, option):
    result = run("translate", "--workdir", "run", option, "3", "--scores", PAIRS[4].source)
    found = [line.split("\t") for line in result.out.splitlines()]
    assert len(found) == 3
    assert found[0][2] == PAIRS[4].target
    assert all(re.fullmatch(r"-\d+\.\d{4}", score) for _, score, _ in found)
    assert {index for index, _, _ in found} == {"0"}
    scores = [float(score) for _, score, _ in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("trained")
def test_the_type_of_the_computation_changes_scores_a_little(run):
    words = ["translate", "--workdir", "run", "--scores", *(pair.source for pair in PAIRS[:5])]
    scores = []
    for dtype in ("float32", "bfloat16"):
        lines = run(*words, "--dtype", dtype).out.splitlines()
        found = [line.split("\t") for line in lines]
        assert [text for _, text in found] == [pair.target for pair in PAIRS[:5]]
        scores.append([float(score) for score, _ in found])
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.03)


@pytest.mark.usefixtures("trained")
def test_a_long_line_is_translated_with_a_warning(run):
    lines = f"{PAIRS[0].source}\n{'twenty two ' * 30}\n"
    result = run("translate", "--workdir", "run", stdin=lines.encode())
    assert result.code == 0
    assert len(result.out.splitlines()) == 2
    assert re.fullmatch(r"warning: line 2 has \d+ tokens: only the first 24 .*\n", result.err)


@pytest.mark.usefixtures("trained")
def test_invalid_utf8_on_standard_input_has_a_record_of_its_own(run):
    result = run("translate", "--workdir", "run", "--json", stdin=b"twenty two\n\xff\n")
    good, bad = map(json.loads, result.out.splitlines())
    assert (good["index"], good["input"], len(good["outputs"])) == (0, "twenty two", 1)
    assert (bad["index"], bad["input"]) == (1, "")
    assert bad["error"].startswith("standard input, line 2, is not UTF-8")
    assert result.code == 2
