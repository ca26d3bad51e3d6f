"""Values and paths that no command can use: each is told in one line, and nothing is written."""

import dataclasses
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
from command_line import IMPORTS, assert_is_error

from flax_transformer.cli import execute

LONG = "x" * 307
LARGE = 10**20

NUMBERS = {
    f"--data.vocab-size {LARGE}": f"--data.vocab-size must be at most 16,777,216, not {LARGE}",
    "--data.vocab-size -7": r"--data\.vocab-size must be at least 259, not -7",
    f"--data.tokens-per-batch {LARGE}": f"--data.tokens-per-batch must be at most .* not {LARGE}",
    "--data.tokens-per-batch -7": r"--data\.tokens-per-batch must be at least 1, not -7",
    f"--data.batch-size {LARGE}": f"--data.batch-size must be at most 2,147,483,647, not {LARGE}",
    f"--data.num-buckets {LARGE}": f"--data.num-buckets must be at most 2,147,483,647, not {LARGE}",
    f"--data.max-length {LARGE}": f"--data.max-length must be at most 2,147,483,647, not {LARGE}",
    "--data.max-length 2": "none of the 20 pairs of train has two sides of 1 to 2 tokens",
    "--training.num-steps 1e3": "--training.num-steps must be a whole number, not '1e3'",
    "--training.num-steps nan": "--training.num-steps must be a whole number, not 'nan'",
    "--training.num-steps ٣_": "--training.num-steps must be a whole number",
    "--seed -1": "--seed must be at least 0, not -1",
    "--seed 4294967296": "--seed must be at most 2,147,483,647, not 4294967296",
    "--optimizer.learning-rate nan": "--optimizer.learning-rate must be positive, not nan",
    "--optimizer.b1 nan": r"--optimizer.b1 must be in \[0, 1\), not nan",
    "--optimizer.eps nan": "--optimizer.eps must be positive, not nan",
    "--optimizer.clip-norm -inf": "--optimizer.clip-norm must be positive, not -inf",
    "--task.label-smoothing nan": r"--task.label-smoothing must be in \[0, 1\), not nan",
    "--model.residual-dropout-rate nan": r"residual-dropout-rate must be in \[0, 1\), not nan",
    "--model.norm-epsilon nan": "--model.norm-epsilon must be positive, not nan",
    "--decoding.alpha nan": "--decoding.alpha must be 0 or positive, not nan",
    "--decoding.alpha inf": "--decoding.alpha must be 0 or positive, not inf",
    "--decoding.temperature nan": "--decoding.temperature must be positive, not nan",
    "--decoding.temperature inf": "--decoding.temperature must be positive, not inf",
    "--decoding.top-p nan": "--decoding.top-p must be in .0, 1., not nan",
    f"--decoding.max-extra-length {LARGE}": "max-extra-length must be at most .* not 10+",
    f"--decoding.beam-size {LARGE}": "beam-size must be at most 2,147,483,647, not 10+",
    "--data.packing maybe": "unexpected argument 'maybe'",
    "--data.train-split train[:0]": (
        r"'train\[:0\]' is not a part of text_files's train, or one with"
    ),
    "--data.train-split train[7:3]": r"'train\[7:3\]' is not a part of text_files's train, or one",
    "--data.train-split train[:307%]": r"'train\[:307%\]' is not a part of text_files's train",
    "--data.train-split train[:7": r"'train\[:7' is not a part of text_files's train",
    "--data.validation-split train[97:]": r"give one such as 'train\[:1000\]' or",
    "--data.train-split train+trian": r"unknown --data.train-split of text_files 'train\+trian'",
}
PATHS = {
    "--data.train-source source.txt/below": "cannot read .*source.txt/below: .* Not a directory",
    f"--data.train-source {LONG}": "cannot read .*: .* File name too long",
    "--data.train-source a\0b": "cannot read .*: embedded null byte",
    "--data.train-source ~/no/such/file": rf"{Path.home()}/no/such/file does not exist",
    "--data.data-dir small.py": "cannot prepare text_files .*Not a directory.* as --data.data-dir",
    "--data.data-dir small.py/x": "cannot prepare text_files .*: give a folder .* --data.data-dir",
}


@pytest.mark.parametrize("options", [*NUMBERS, *PATHS])
def test_an_impossible_option_gets_one_line_and_writes_nothing(run, folder, options):
    result = run("train", "small.py", "--workdir", "new", *options.split(" "))
    assert_is_error(result, (NUMBERS | PATHS)[options])
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("workdir", "message"),
    [
        ("", "--workdir is empty: give a folder"),
        ("small.py", "small.py is not a directory: choose another --workdir"),
        ("small.py/below", r"cannot write into small.py/below \(Not a directory\): choose another"),
        (LONG, "File name too long: x+.*; fix this, or give another path"),
    ],
)
def test_a_workdir_that_cannot_be_made_gets_one_line(run, folder, workdir, message):
    before = sorted(folder.iterdir())
    assert_is_error(run("train", "small.py", "--workdir", workdir), message)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("train", f"{LONG}.py", "--workdir", "new"), "File name too long"),
        (("train", "", "--workdir", "new"), r"unknown experiment file '\.'"),
        (("evaluate", "--workdir="), "--workdir is empty: give a folder"),
        (("translate", "two", "--workdir"), "Missing value for argument '--workdir'"),
        (("translate", "--workdir", LONG, "two"), "File name too long"),
        (("translate", "--workdir", "small.py/below"), "small.py/below holds no run"),
        (("list", "--vocab-size", str(LARGE)), f"--vocab-size must be at most .* not {LARGE}"),
        (("list", "--vocab-size", "1e3"), "--vocab-size must be a whole number"),
        (("table3", "--vocab-size", str(LARGE)), f"--vocab-size must be at most .* not {LARGE}"),
        (("table3", "--vocab-size", "-7"), "--vocab-size must be at least 1, not -7"),
        (("positions", "--d-model", str(LARGE)), f"--d-model must be at most .* not {LARGE}"),
        (("positions", "--length", "-7"), "length must be at least 2, not -7"),
        (("positions", "--out", ""), r"\. is not a file: give another name for the picture"),
        (("conventions", "paper"), "unexpected argument 'paper'"),
        (("--versoin",), "unknown command '--versoin'; known: "),
        (("",), "no command: begin with one of"),
    ],
)
def test_a_value_that_a_command_cannot_use_gets_one_line(run, line, message):
    assert_is_error(run(*line), message)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evaluate --split train[7:3]", r"'train\[7:3\]' is not a part of text_files's train"),
        ("evaluate --split=", "unknown --split of text_files ''"),
        ("translate --decoding.method sample --seed -1 two", "--seed must be at least 0, not -1"),
        (f"translate --seed {LARGE} two", f"--seed must be at most 2,147,483,647, not {LARGE}"),
        (
            "translate --decoding.alpha nan two",
            "--decoding.alpha must be 0 or positive, not nan",
        ),
        ("translate a\udc80b", r"not a valid Unicode text: 'a\\udc80b'; give it as UTF-8"),
    ],
)
def test_a_value_that_a_trained_model_cannot_use_gets_one_line(run, line, message):
    command, *options = line.split()
    assert_is_error(run(command, "--workdir", "run", *options), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "unknown --data.dataset ''"),
        ("/", "unknown --data.dataset '/'"),
        ("../source.txt", "unknown --data.dataset '../source.txt'"),
        ("number words", "unknown --data.dataset 'number words': did you mean 'number_words'"),
        ("wörter", "unknown --data.dataset 'wörter'"),
        ("text_files/mine", "unknown --data.dataset 'text_files/mine': did you mean 'text_files'"),
        ("mnist", "unknown --data.source-language of mnist 'en'; known: image, label"),
        ("wmt14_translate/", "unknown variant of --data.dataset wmt14_translate ''"),
        (
            "wmt14_translate/de-en:9.7.1",
            "variant of --data.dataset wmt14_translate 'de-en:9.7.1': .* 'de-en'",
        ),
    ],
)
def test_a_name_that_no_data_set_has_gets_one_line(run, folder, name, message):
    (folder / "default.py").write_text(f"{IMPORTS}\nexperiment = Experiment()\n")
    assert_is_error(run("train", "default.py", "--workdir", "new", "--data.dataset", name), message)
    assert not (folder / "new").exists()


@dataclasses.dataclass(frozen=True)
class Failing:
    """A command that meets what the system refuses."""

    error: str = "letters"

    def run(self) -> None:
        if self.error == "memory":
            jnp.zeros(2**55, jnp.int8).block_until_ready()
        if self.error == "file":
            Path("/nowhere/of/all").read_bytes()
        print("fünf ✓")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("memory", r"Out of memory allocating .* bytes: give smaller sizes"),
        ("file", "No such file or directory: /nowhere/of/all; fix this, or give another path"),
    ],
)
def test_what_the_system_refuses_is_one_line(capsys, error, message):
    with pytest.raises(SystemExit) as stop:
        execute(Failing, ["--error", error])
    assert_is_error(SimpleNamespace(code=stop.value.code, **capsys.readouterr()._asdict()), message)


def test_all_letters_are_printed_whatever_the_system_can_write(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    execute(Failing, [])
    sys.stdout.flush()
    assert raw.getvalue() == "fünf ✓\n".encode()
