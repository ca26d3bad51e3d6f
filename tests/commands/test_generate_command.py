import json
import math
import shutil

import pytest
from command_line import assert_is_error
from text_models import CONFIG, write_experiment_file
from unchecked import unchecked

from flax_transformer.cli import main


@pytest.fixture(scope="module")
def repeating(tmp_path_factory):
    """The workdir of a model that has learned to repeat abc."""
    folder = tmp_path_factory.mktemp("language_model")
    with unchecked():
        main(["train", str(write_experiment_file(folder)), "--workdir", str(folder / "run")])
    return folder / "run"


def test_a_training_leaves_scores_of_the_validation_split(repeating):
    (file,) = (repeating / "scores").glob("*.json")
    record = json.loads(file.read_text())
    scores = {name: score["value"] for name, score in record["scores"].items()}
    assert record["split"] == "validation"
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    # Characters of one byte each, and the end mark, which is a token of no byte.
    text = CONFIG["validation"]
    bits = scores["loss"] / math.log(2) * (len(text) + 1) / len(text)
    assert scores["bits_per_byte"] == pytest.approx(bits)
    assert scores["loss"] < 1.5
    lines = [json.loads(line) for line in (repeating / "metrics.jsonl").read_text().splitlines()]
    assert any("tokens_per_second" in line for line in lines)
    measured = [line["loss"] for line in lines if line["kind"] == "validation"]
    assert measured[-1] == pytest.approx(scores["loss"])


def test_what_was_learned_is_written(repeating, run):
    options = ["--length", "23", "--decoding.method", "greedy"]
    printed = run("generate", "--workdir", str(repeating), *options, "abcab", "cab").out
    assert printed.splitlines() == [("abc" * 10)[:28], "---", ("cab" * 10)[:26]]


def test_weights_of_8_bits_write_the_same(repeating, run):
    options = ["--length", "23", "--decoding.method", "greedy", "--dtype", "int8"]
    printed = run("generate", "--workdir", str(repeating), *options, "abcab", "cab").out
    assert printed.splitlines() == [("abc" * 10)[:28], "---", ("cab" * 10)[:26]]


def test_weights_of_8_bits_score_almost_the_same(repeating, run, tmp_path):
    workdir = shutil.copytree(repeating, tmp_path / "run")
    (file,) = (workdir / "scores").glob("*.json")
    run("evaluate", "--workdir", str(workdir), "--dtype", "int8")
    (other,) = {*(workdir / "scores").glob("*.json")} - {file}
    records = [json.loads(path.read_text()) for path in (file, other)]
    assert [record["dtype"] for record in records] == ["float32", "int8"]
    exact, near = (record["scores"]["loss"]["value"] for record in records)
    assert 0 < abs(near - exact) < 0.01 * exact


def test_samples_differ_by_seed_alone(repeating, run):
    def generate(seed: int) -> str:
        options = ["--seed", str(seed), "--length", "19", "--num-samples", "2"]
        sampling = ["--decoding.method", "sample", "--decoding.temperature", "3"]
        return run("generate", "--workdir", str(repeating), *options, *sampling, "a").out

    assert generate(3) == generate(3) != generate(4)
    empty, one, two = generate(3).split("--- 0\n")
    assert empty == ""
    assert one.strip() != two.strip()


def test_a_document_is_begun_without_a_prompt(repeating, run):
    options = ["--length", "2", "--decoding.method", "greedy"]
    assert run("generate", "--workdir", str(repeating), *options, stdin=None).out in (
        "ab\n",
        "bc\n",
        "ca\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lenght", "3"], "--length"),
        (["--length", "0"], "length must be at least 1, not 0"),
        (["--num-samples", "0"], "--decoding.num-best must be at least 1, not 0"),
        (["--weights", "bset"], "best"),
    ],
)
def test_mistakes_are_told_in_a_line(repeating, run, words, message):
    assert_is_error(run("generate", "--workdir", str(repeating), "a", *words), message)


def test_another_kind_of_model_is_refused_with_its_own_command(repeating, run):
    result = run("translate", "--workdir", str(repeating), "a")
    assert_is_error(result, "holds a model for language_modeling, which cannot translate: use flax")
