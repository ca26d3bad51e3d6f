"""The scripts of `--completion`, in real shells."""

import dataclasses
import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flax_transformer.cli import main, parser_script
from flax_transformer.commands import COMMANDS
from flax_transformer.completion import REGISTRIES, command_options, completion_script
from flax_transformer.errors import option
from flax_transformer.experiment import load_experiment

FOLDER = Path(__file__).parents[2] / "experiments"
options_of = functools.cache(functools.partial(command_options, script_of=parser_script))
EXPERIMENTS = [
    path for path in sorted(FOLDER.glob("*.py")) if "\nexperiment = " in path.read_text()
]

# Arguments of a command line whose last word is completed -> all words that fit.
CASES: dict[tuple[str, ...], list[str]] = {
    ("verify",): ["verify-resume"],
    ("",): [*COMMANDS, "--help", "--version", "--completion"],
    ("--completion", "z"): ["zsh"],
    ("export", "--form"): ["--format"],
    ("export", "--format", "o"): ["onnx"],
    ("export", "--weights", ""): ["average", "best", "last"],
    ("export", "--out", "new", "--dtype", "bf"): ["bfloat16"],
    ("train", "x.py", "--model.positi"): ["--model.position-offset", "--model.positions"],
    ("train", "x.py", "--model.norm", "rms"): ["rms", "rms_plus_one"],
    ("train", "x.py", "--optimizer.schedule", "c"): ["cosine", "constant"],
    ("train", "x.py", "--data.image-s"): ["--data.image-size"],
    ("train", "x.py", "--task.mask"): ["--task.mask-rate"],
    ("translate", "--decoding.method", ""): ["greedy", "beam", "sample"],
    ("translate", "--decoding.met"): ["--decoding.method"],
    ("serve", "--limits.w"): ["--limits.waiting"],
    ("generate", "--parts"): ["--parts"],
}
BASH = """
source {script}
COMP_WORDS=(flax-transformer "$@")
COMP_CWORD=$#
_flax_transformer
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    """A folder with the script of each shell, by its name."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        (folder / shell).write_text(completion_script(shell, parser_script))
    return folder


def need(shell: str) -> str:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    return program


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_bash_completes(words, scripts):
    said = run(need("bash"), "-c", BASH.format(script=scripts / "bash"), "bash", *words)
    assert sorted(said.split()) == sorted(CASES[words])


def test_bash_completes_a_value_after_an_equals_sign(scripts):
    line = BASH.format(script=scripts / "bash")
    words = ("export", "--format", "=")
    assert "onnx" in run(need("bash"), "-c", line, "bash", *words).split()
    assert run(need("bash"), "-c", line, "bash", *words, "st").split() == ["stablehlo"]


def test_bash_completes_anything_else_as_files(scripts):
    words = ("train", "experiments/num")
    assert not run(need("bash"), "-c", BASH.format(script=scripts / "bash"), "bash", *words).split()
    registered = run(need("bash"), "-c", f"source {scripts / 'bash'}; complete -p flax-transformer")
    assert "-o default" in registered


@pytest.mark.parametrize("words", [words for words in CASES if words != ("",)], ids=" ".join)
def test_fish_completes(words, scripts):
    line = f"complete -C '{' '.join(('flax-transformer', *words))}'"
    said = run(need("fish"), "--no-config", "-c", f"source {scripts / 'fish'}; {line}")
    assert sorted(row.split("\t")[0] for row in said.splitlines()) == sorted(CASES[words])


@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_zsh_completes(words, scripts):
    # What `compadd` gets, without a terminal.
    line = f"""
    autoload() {{ true; }}; compdef() {{ true; }}; _files() {{ true; }}
    compadd() {{ shift; print -l -- "$@"; }}
    source {scripts / "zsh"}
    words=(flax-transformer "$@"); CURRENT=$#words
    _flax_transformer
    """
    said = run(need("zsh"), "-f", "-c", line, "zsh", *words).split()
    assert sorted(word for word in said if word.startswith(words[-1])) == sorted(CASES[words])


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_those_of_the_help(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    # The meaning of an option is beside its names, or in the next line.
    names = re.findall(r"^│ (-.*?)  ", capsys.readouterr().out, re.MULTILINE)
    shown = {word for words in names for word in re.findall(r"--[a-z][\w.-]*", words)}
    assert "--help" in shown
    assert shown <= options_of(name).keys()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_has_its_options(path):
    experiment, options = load_experiment(path), options_of("train").keys()
    for part in ("data", "model", "task"):
        for field in dataclasses.fields(getattr(experiment, part)):
            name = option(f"{part}.{field.name}")
            assert any(known == name or known.startswith(f"{name}.") for known in options), name


def test_every_registry_is_of_an_option():
    options = {option for name in COMMANDS for option in options_of(name)}
    assert REGISTRIES.keys() <= options


def test_another_shell_is_one_line(capsys):
    for words, message in (
        (["csh"], "unknown --completion 'csh'"),
        ([], "--completion needs the name of a shell: give bash, zsh or fish"),
    ):
        with pytest.raises(SystemExit):
            main(["--completion", *words])
        assert message in capsys.readouterr().err
