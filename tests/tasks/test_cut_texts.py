"""Texts longer than data.max_length: a warning says how many are cut."""

import dataclasses
import warnings

import pytest
from rich.console import Console
from small import with_fields
from small_texts import TEXTS, classification
from untrained import EXPERIMENTS, MAX_LENGTH, write_workdir

from flax_transformer.cli import main
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingConfig,
)
from flax_transformer.training.assemble import evaluate, load
from flax_transformer.training.loop import train

LONG = " and ".join(["Ada greets Ben"] * 9)


def write(path, num_long: int) -> str:
    rows = [*TEXTS, *[(LONG, "before")] * num_long]
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return str(path)


def experiment(folder):
    """Three long texts to train on, one to validate on."""
    files = {
        "train_file": write(folder / "train.tsv", 3),
        "validation_file": write(folder / "validation.tsv", 1),
    }
    one = with_fields(classification(folder / "other"), "data", **files)
    return with_fields(one, "training", num_steps=1)


def masked(folder):
    one = experiment(folder)
    training = dataclasses.replace(one.training, best_score="loss")
    return dataclasses.replace(one, task=MaskedLanguageModelingConfig(), training=training)


def cut(record) -> list[str]:
    return [str(found.message) for found in record if found.category is CutTextWarning]


@pytest.mark.parametrize("make", [experiment, masked])
def test_training_and_evaluation_say_how_many_of_how_many_are_cut(make, tmp_path):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        train(make(tmp_path), tmp_path / "run", Console(quiet=True))
    train_line = "3 of 43 texts of the split train are longer than --data.max-length 13 and are cut"
    line = "1 of 41 texts of the split validation is longer than --data.max-length 13 and is cut"
    assert sorted(cut(record)) == [line, train_line]
    with pytest.warns(CutTextWarning, match=line):
        evaluate(tmp_path / "run", "validation", command=())


def test_texts_that_fit_are_read_without_a_word(tmp_path):
    one = with_fields(classification(tmp_path), "training", num_steps=1)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        train(one, tmp_path / "run", Console(quiet=True))
    assert cut(record) == []


@pytest.fixture
def workdir(tmp_path):
    return write_workdir(tmp_path / "run", EXPERIMENTS["texts"])


def test_a_text_to_classify_that_is_cut_is_told(workdir):
    classifier = load(workdir)
    line = f"2 of 3 texts are longer than --data.max-length {MAX_LENGTH} and are cut"
    with pytest.warns(CutTextWarning, match=line):
        classifier.classify(["a" * 40, "b", "c" * 16])
    # A begin mark, fifteen letters and an end mark.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.classify(["a" * 15])


def test_the_command_tells_it_once_on_standard_error(workdir, capsys):
    main(["classify", "a" * 40, "b", "--workdir", str(workdir)])
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert printed.err == (
        f"warning: 1 of 2 texts is longer than --data.max-length {MAX_LENGTH} and is cut\n"
    )
