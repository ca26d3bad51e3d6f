"""Options that take several values, as a shell gives them."""

import pytest
from command_line import assert_is_error
from small_texts import classification

from flax_transformer.experiment import write_experiment


@pytest.fixture
def labeled(tmp_path):
    """A file with an experiment of the classes "before" and "after"."""
    path = tmp_path / "labeled.json"
    write_experiment(path, classification(tmp_path))
    return str(path)


def test_weights_of_classes_are_given_by_name(run, labeled, tmp_path):
    workdir = str(tmp_path / "run")
    option = "--task.class-weights"
    command = ["train", labeled, "--workdir", workdir, option, "before=2", option]
    assert_is_error(run(*command, "aftr=3"), "unknown class of .*'aftr': did you mean 'after'")
    assert_is_error(run(*command, "after=0"), "with a positive number .* not 'after=0'")
    assert not (tmp_path / "run").exists()


def test_several_references_are_given_one_by_one(run, folder, tmp_path):
    files = [tmp_path / name for name in ("one", "two")]
    files[0].write_text("only\n" * 20)
    files[1].write_text("only\n")
    option = "--data.validation-references"
    options = ["--workdir", "new", *(word for file in files for word in (option, str(file)))]
    assert_is_error(run("train", "small.py", *options), f"20 lines but {files[1]} has 1: line N of")
    assert not (folder / "new").exists()
