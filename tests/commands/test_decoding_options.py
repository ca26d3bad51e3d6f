"""Rules for the next token, stop strings and a given beginning, from the command line."""

import pytest
from command_line import assert_is_error
from small import PAIRS
from text_models import write_experiment_file
from unchecked import unchecked

from flax_transformer.cli import main

SOURCE, TARGET, _ = PAIRS[6]  # drei und dreißig


@pytest.fixture(scope="module")
def repeating(tmp_path_factory):
    """The workdir of a model that has learned to repeat abc."""
    folder = tmp_path_factory.mktemp("language_model")
    with unchecked():
        main(["train", str(write_experiment_file(folder)), "--workdir", str(folder / "run")])
    return str(folder / "run")


@pytest.mark.usefixtures("trained")
def test_stop_strings_end_translations(run):
    words = ["translate", "--workdir", "run"]
    assert run(*words, "--decoding.stop", "ßi", SOURCE).out == "drei und drei\n"
    several = ["--decoding.stop", "zz", "--decoding.stop", "i u"]
    assert run(*words, *several, SOURCE, SOURCE).out == "dre\ndre\n"


@pytest.mark.usefixtures("trained")
def test_a_prefix_begins_every_translation(run):
    words = ["translate", "--workdir", "run", "--prefix", "drei und"]
    assert run(*words, SOURCE, "").out == f"{TARGET}\n\n"
    (line,) = run(*words, PAIRS[0].source).out.splitlines()
    assert line.startswith("drei und")


def test_rules_change_what_is_written(repeating, run):
    words = ["generate", "--workdir", repeating, "--length", "12", "--decoding.method", "greedy"]
    assert run(*words, "abcab").out == "abcab" + "cabcabcabcab" + "\n"
    written = run(*words, "--decoding.no-repeat-ngram-size", "2", "abcab").out.strip()
    pairs = [written[place : place + 2] for place in range(len(written) - 1)]
    # The prompt has one twice.
    assert len(set(pairs)) == len(pairs) - 1
    assert run(*words, "--decoding.stop", "bca", "abcab").out == "abcabca\n"


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("repetition-penalty", "0", r"--decoding\.repetition-penalty is 0\.0: give 1 for none"),
        ("no-repeat-ngram-size", "-1", r"--decoding\.no-repeat-ngram-size must be at least 0"),
        ("min-length", "-2", r"--decoding\.min-length must be at least 0, not -2"),
        ("stop", "", r"--decoding\.stop \('',\) is not a tuple of non-empty"),
        ("temperature", "nan", "--decoding.temperature must be positive, not nan"),
    ],
)
def test_impossible_rules_are_told_in_a_line(run, option, value, message):
    words = ["translate", "--workdir", "run", f"--decoding.{option}", value, SOURCE]
    assert_is_error(run(*words), message)
