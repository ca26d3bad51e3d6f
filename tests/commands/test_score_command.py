import json
import math

import pytest
from command_line import assert_is_error
from small import PAIRS
from untrained import EXPERIMENTS, write_workdir

LINES = [f"{pair.source}\t{pair.target}" for pair in PAIRS[:3]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Workdirs of models that nobody has trained."""
    folder = tmp_path_factory.mktemp("untrained")
    names = ("language_model", "masked", "texts")
    return {name: str(write_workdir(folder / name, EXPERIMENTS[name])) for name in names}


def test_a_text_gets_its_sum_its_tokens_and_their_mean(models, run):
    result = run("score", "--workdir", models["language_model"], "bad cab", "", "a")
    assert (result.code, result.err) == (0, "")
    scores = [line.split("\t") for line in result.out.splitlines()]
    # Characters, and the end mark.
    assert [num_tokens for _, num_tokens, _ in scores] == ["8", "1", "2"]
    for total, num_tokens, mean in scores:
        assert float(total) < 0
        assert float(mean) == pytest.approx(float(total) / int(num_tokens), abs=1e-3)
    lines = run("score", "--workdir", models["language_model"], stdin=b"bad cab\n\na\n")
    assert lines.out == result.out


def test_json_names_everything(models, run):
    words = ["score", "--workdir", models["language_model"], "--json"]
    lines = [json.loads(line) for line in run(*words, "bad", "cab").out.splitlines()]
    assert [line["index"] for line in lines] == [0, 1]
    assert [line["input"] for line in lines] == ["bad", "cab"]
    for line in lines:
        assert line["num_tokens"] == 4
        assert math.isclose(line["log_prob"], 4 * line["mean_log_prob"])


@pytest.mark.usefixtures("trained")
def test_pairs_come_as_lines_as_words_or_as_files(run, folder):
    result = run("score", "--workdir", "run", *LINES)
    assert (result.code, result.err) == (0, "")
    # Pairs that the model knows by heart.
    assert all(float(line.split("\t")[2]) > -0.5 for line in result.out.splitlines())
    assert len(result.out.splitlines()) == 3
    stdin = "".join(f"{line}\n" for line in LINES).encode()
    assert run("score", "--workdir", "run", stdin=stdin).out == result.out
    for name, texts in zip(("s.txt", "t.txt"), list(zip(*PAIRS[:3], strict=True))[:2], strict=True):
        (folder / name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    files = ["--source", "s.txt", "--target", "t.txt"]
    assert run("score", "--workdir", "run", *files).out == result.out
    (line,) = run("score", "--workdir", "run", "--json", LINES[0]).out.splitlines()
    assert json.loads(line)["input"] == LINES[0]
    wrong = run("score", "--workdir", "run", f"{PAIRS[0].source}\t{PAIRS[9].target}").out
    assert float(wrong.split("\t")[2]) < -1


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["two\tzwei", "two"], "text 2 has 0 tabs, 'two': give SOURCE, one tab and TARGET"),
        (["--source", "three.txt"], "--source and --target belong together"),
        (
            ["--source", "three.txt", "--target", "three.txt", "two"],
            "both texts and --source with --target are given",
        ),
        (["--source", "three.txt", "--target", "none.py"], "three.txt has 3 lines but none.py"),
        (["--sorce", "three.txt"], "--source"),
    ],
)
def test_mistakes_are_told_in_a_line(run, words, message):
    assert_is_error(run("score", "--workdir", "run", *words), message)


@pytest.mark.parametrize(("name", "command"), [("masked", "fill"), ("texts", "classify")])
def test_a_model_without_probabilities_of_texts_names_its_own_command(models, run, name, command):
    for given in (["two"], ["--source", "three.txt", "--target", "three.txt"]):
        result = run("score", "--workdir", models[name], *given)
        assert_is_error(result, f"which cannot score: use flax-transformer {command} --work")


def test_files_of_pairs_are_for_a_translator(models, run):
    files = ["--source", "three.txt", "--target", "three.txt"]
    result = run("score", "--workdir", models["language_model"], *files)
    assert_is_error(result, "--source and --target need a translator: give the texts as arg")


@pytest.mark.usefixtures("trained")
def test_a_bad_line_does_not_stop_the_others(run):
    stdin = f"{LINES[0]}\ntwo\n{LINES[1]}\n".encode()
    result = run("score", "--workdir", "run", stdin=stdin)
    assert result.code == 2
    assert [len(line.split("\t")) for line in result.out.splitlines()] == [3, 1, 3]
    assert "text 2 has 0 tabs, 'two'" in result.err
