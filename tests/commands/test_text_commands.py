import json
import re

import pytest
from command_line import assert_is_error
from rich.console import Console
from small import with_fields
from small_texts import TEXTS, classification, masked

from flax_transformer.experiment import write_experiment
from flax_transformer.training.loop import train


@pytest.fixture(scope="module")
def runs(folder):
    """Workdirs "classes", of a trained classifier, and "gaps", of a hardly trained filler."""
    train(classification(folder), folder / "classes", Console(quiet=True))
    experiment = with_fields(masked(folder), "training", num_steps=3)
    write_experiment(folder / "gaps.json", experiment)
    train(experiment, folder / "gaps", Console(quiet=True))


pytestmark = pytest.mark.usefixtures("runs")


def test_each_text_gives_a_line(run):
    texts = [text for text, _ in TEXTS[:3]]
    result = run("classify", "--workdir", "classes", *texts)
    lines = [line.split("\t") for line in result.out.splitlines()]
    assert [label for label, _ in lines] == [label for _, label in TEXTS[:3]]
    assert all(float(probability) > 0.5 for _, probability in lines)
    assert (result.code, result.err) == (0, "")
    assert run("classify", "--workdir", "classes", stdin="\n".join(texts).encode()) == result
    assert run("classify", "--workdir", "classes").out == ""


def test_more_classes_come_with_their_probabilities(run):
    line = run("classify", "--workdir", "classes", "--top", "7", TEXTS[0][0]).out
    found = line.rstrip("\n").split("\t")
    assert set(found[::2]) == {"before", "after"}
    assert found[0] == TEXTS[0][1]
    assert abs(sum(map(float, found[1::2])) - 1) < 1e-3
    assert_is_error(
        run("classify", "--workdir", "classes", "--top", "0", "a"), "top must be at least 1"
    )


def test_json_holds_all_classes(run):
    lines = run("classify", "--workdir", "classes", "--json", *(t for t, _ in TEXTS[:2])).out
    for line, (_, label) in zip(lines.splitlines(), TEXTS[:2], strict=True):
        found = json.loads(line)
        assert found["label"] == label == next(iter(found["probabilities"]))
        assert set(found["probabilities"]) == {"before", "after"}


def test_gaps_are_filled(run):
    result = run("fill", "--workdir", "gaps", "--top", "2", "Ada [MASK] Ben", "[MASK][MASK]")
    first, second = (line.split("\t") for line in result.out.splitlines())
    assert first[0].startswith("Ada")
    assert first[0].endswith("Ben")
    assert (len(first), len(second)) == (1 + 2 * 2, 1 + 2 * 2 * 2)
    assert float(first[2]) >= float(first[4]) > 0
    line = run("fill", "--workdir", "gaps", stdin=b"Ada [MASK] Ben\n").out
    assert line == f"{first[0]}\n"
    [gap] = json.loads(run("fill", "--workdir", "gaps", "--json", "Ada [MASK] Ben").out)["gaps"]
    assert len(gap) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify", "--workdir", "clases", "a"], "clases holds no run"),
        (
            ["classify", "--workdir", "gaps", "a"],
            r"gaps holds a model for masked_language_modeling, which cannot classify: use "
            r"flax-transformer fill --workdir gaps",
        ),
        (["fill", "--workdir", "classes", "a"], "classification, which cannot fill: .* classify"),
        (["fill", "--workdir", "gaps", "--top", "0", "[MASK]"], "top must be at least 1, not 0"),
        (["train", "gaps.json", "--workdir", "new", "--init-from", "gapps"], "did you mean .*gaps"),
    ],
)
def test_a_mistake_is_one_line(run, words, message):
    assert_is_error(run(*words), message)


def test_training_says_how_gaps_are_filled(run):
    """A finished training given again only scores, and says what to do next."""
    out = run("train", "gaps.json", "--workdir", "gaps").out
    assert "next, fill something of your own:" in out
    assert re.search(r'\n  flax-transformer fill --workdir gaps ".*\[MASK\].*"\n$', out)
    sample = next(line for line in out.splitlines() if re.match(r"  .*\[MASK\].* -> ", line))
    assert sample.split(" -> ")[1] != sample.split(" -> ")[0].strip()
