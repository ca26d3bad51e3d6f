"""Parts that a Python file of the user adds, imported with --parts."""

import json
import re
import shlex
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from command_line import IMPORTS, assert_is_error

import flax_transformer as ft
from flax_transformer.commands import train_command
from flax_transformer.errors import UserError
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.python_files import IMPORTED_PARTS, import_parts, parts_options, run_file
from flax_transformer.tasks.task import Scored
from flax_transformer.training.durability import resume_proof

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "adding_a_part.md"
[SCHEME] = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The file of the guide, which adds the scheme `slope`; it also imports a file next to it."""
    (tmp_path / "neighbor.py").write_text("", "utf-8")
    path = tmp_path / "own_scheme.py"
    path.write_text(f"{SCHEME}\nimport neighbor\n", "utf-8")
    monkeypatch.setitem(SCHEMES, "slope", None)
    del SCHEMES["slope"]
    yield path
    IMPORTED_PARTS.clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("words", ["--parts {}", "--parts={}", "--parts {0} --parts {0}"])
def test_every_command_sees_parts_of_the_users_own_file(parts, words, run):
    assert "slope" not in json.loads(run("list", "--json").out)["positions"]
    shown = json.loads(run("list", *words.format(parts).split(), "--json").out)["positions"]
    assert shown["slope"] == {"description": "the share of the length"}
    assert len(IMPORTED_PARTS) == 1


def test_a_workdir_with_a_part_that_is_missing_says_how_to_import_it(parts, tmp_path, run):
    SCHEMES["slope"] = SCHEMES["number"]
    model = ft.EncoderDecoderConfig(positions="slope")
    (tmp_path / "run").mkdir()
    written = json.dumps(ft.Experiment(model=model).to_json())
    (tmp_path / "run" / "experiment.json").write_text(written, "utf-8")
    del SCHEMES["slope"]
    words = ["translate", "--workdir", str(tmp_path / "run"), "one"]
    said = run(*words).err
    assert "unknown --model.positions 'slope'" in said
    assert said.endswith(
        "if a Python file of yours adds the name, import it, or give --parts FILE\n"
    )
    said = run(*words, "--parts", str(parts)).err
    assert "cannot read the tokenizer" in said


@pytest.mark.parametrize(
    "option",
    [
        "--model.positions",
        "--model.norm",
        "--model.activation",
        "--optimizer.name",
        "--decoding.length-penalty",
        "--data.dataset",
        "--preset",
        "--convention",
    ],
)
def test_an_unknown_part_leads_to_the_option_that_adds_it(parts, run, option):
    experiment = parts.with_name("default.py")
    experiment.write_text(f"{IMPORTS}\nexperiment = Experiment()\n", "utf-8")
    words = ["train", str(experiment), "--workdir", "new", option, "my/own"]
    hint = "; if a Python file of yours adds the name, import it, or give --parts FILE"
    assert_is_error(run(*words), f"unknown {option} 'my/own'.*nown: .*{hint}")
    hint = f"; it is not added by --parts {parts}"
    assert_is_error(run(*words, "--parts", str(parts)), f"unknown {option} 'my/own'.*{hint}")


def test_a_name_that_no_file_can_add_leads_nowhere(run):
    options = ["--workdir", "new", "--data.train-split", "other"]
    for said in (run("train", "small.py", *options).err, run("trian").err):
        assert "unknown " in said
        assert "--parts" not in said


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ones(d_model)", "ones(d_model + 1)", r"encode of .* 'slope' returned the shape .* = "),
        (", table)", ")", r"encode of .* 'slope' must take 4 arguments, .*: too many"),
    ],
)
@pytest.mark.parametrize(
    "line", ["positions", "train small.py --workdir new --model.positions slope"]
)
def test_a_scheme_that_does_not_fit_is_named_in_one_line(
    parts, folder, run, line, old, new, message
):
    parts.write_text(parts.read_text("utf-8").replace(old, new), "utf-8")
    assert_is_error(run(*line.split(), "--parts", str(parts)), message)
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["own_scheme.py", "own parts.py"])
def test_the_next_command_after_a_training_imports_the_parts(parts, folder, run, monkeypatch, name):
    scored = Scored({}, [], [], example="one")
    monkeypatch.setattr(train_command, "train_and_score", lambda *_: ({}, scored))
    given, experiment = parts.rename(parts.with_name(name)), str(folder / "small.py")
    words = ["train", experiment, "--workdir", "new", "--parts"]
    result = run(*words, str(given))
    assert result.out.endswith(f' --workdir new --parts {shlex.quote(str(given))} "one"\n')
    monkeypatch.chdir(given.parent)
    said = run(*words, name).out
    assert said.endswith(f'  flax-transformer translate --workdir new{parts_options()} "one"\n')
    assert parts_options() == f" --parts {shlex.quote(name)}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--parts", "--parts is empty: give a Python file"),
        ("--parts=", "--parts is empty: give a Python file"),
        ("--parts absent.py", "--parts absent.py does not exist: give the file that adds"),
        ("--parts smal.py", "--parts smal.py does not exist: did you mean 'small.py'?"),
        ("--parts three.txt", "--parts three.txt is not a Python file: give the file"),
        ("--parts .", "--parts . is not a Python file"),
        ("--part own.py", "unknown option '--part': did you mean '--parts'?"),
    ],
)
def test_wrong_files_are_one_line(words, message, run):
    said = run("positions", *words.split()).err
    assert message in said
    assert said.count("\n") == 1


def test_the_scheme_of_the_guide_gives_positions(parts):
    import_parts(parts)
    positions, lengths = jnp.array([0, 1, 2]), jnp.array([3, 3, 3])
    encode = SCHEMES["slope"].encode
    assert encode is not None
    found = encode(positions, lengths, 2, None)
    np.testing.assert_allclose(found, np.array([[0, 0], [1, 1], [2, 2]]) / 3, rtol=1e-6)


def test_the_failing_line_is_named_and_nothing_stays_imported(parts):
    parts.write_text("import json\n\nraise RuntimeError('no\\nway')\n", "utf-8")
    for run_it in (import_parts, run_file):
        with pytest.raises(UserError, match=r"own_scheme\.py, line 3: RuntimeError: no way"):
            run_it(parts)
    assert IMPORTED_PARTS == []
    assert str(parts.parent) not in sys.path


def test_a_file_with_the_name_of_another_module_does_not_replace_it(parts):
    named = parts.with_name("json.py")
    named.write_text("FOUND = True\n", "utf-8")
    import_parts(named)
    assert sys.modules["json"] is json
    assert sys.modules["json_"].FOUND


def test_processes_that_verify_resume_starts_import_the_parts(parts, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(
        resume_proof.subprocess, "Popen", lambda command, **_: started.extend(command)
    )
    import_parts(parts)
    trainings = resume_proof.KilledTrainings(tmp_path / "experiment.json", tmp_path / "log.txt")
    trainings._start(tmp_path / "run")
    assert started[-1] == f"--parts={parts.resolve()}"
