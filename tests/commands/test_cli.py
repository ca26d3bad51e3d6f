import dataclasses
import importlib.metadata
import pkgutil
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command_line import IMPORTS, assert_is_error

from flax_transformer import commands
from flax_transformer.commands import COMMANDS, find_command
from flax_transformer.commands.import_command import Import

NAMES = ", ".join(COMMANDS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", f"no command: begin with one of {NAMES}"),
        ("--workdir run translate", "unknown command '--workdir'; known: ablate, "),
        ("trian", "unknown command 'trian': did you mean 'train'"),
        (
            "table3 --vocab-siz 5",
            "unknown option '--vocab-siz': did you mean '--vocab-size'",
        ),
        ("list extra", "unexpected argument 'extra': --help lists what is expected"),
        ("list --vocab-size 0", "--vocab-size must be at least 1, not 0"),
        ("train", "no experiment file: give one, flax-transformer train "),
        ("train --workdir new", "no experiment file: give one, flax-transformer train "),
        ("train small.py", "Missing from flax-transformer train: --workdir"),
        ("train small.py --work_dir=new", "unknown option '--work_dir': did you mean '--workdir'"),
        ("attention --lenght 3 hello", "unknown option '--lenght': did you mean '--length'"),
        ("classify --workdri run a", "unknown option '--workdri': did you mean '--workdir'"),
        ("classify --top 3 a", "Missing from flax-transformer classify: --workdir"),
        ("watch", "Missing from flax-transformer watch: --workdir"),
        ("watch --workdir nothing", "nothing holds no run: train one with flax-transformer"),
        ("evaluate", "Missing from flax-transformer evaluate: --workdir"),
        ("translate hello", "Missing from flax-transformer translate: --workdir"),
        ("evaluate --workdir nothing", "nothing holds no run: train one with flax-transformer"),
        ("translate --workdir nothing", "nothing holds no run: train one with flax-transformer"),
        ("translate --workdir new a", "new holds no run: train one with flax-transformer train"),
        ("evaluate --workdir three.txt", "three.txt holds no run: train one with"),
    ],
)
def test_a_mistaken_command_gets_one_line(run, line, message):
    assert_is_error(run(*line.split()), message)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("smal.py", r"unknown experiment file 'smal.py': did you mean 'small.py'\? Known: "),
        ("nowhere/small.py", "no experiment file nowhere/small.py: give a Python file"),
        ("nothing", "unknown experiment file 'nothing'; known: .*failing.py, field.py, "),
        ("three.txt", r"three.txt, line 1: NameError: name 'a' is not defined; correct the file"),
        ("none.py", r"none.py defines no `experiment = Experiment\(...\)`: add one"),
        ("syntax.py", r"SyntaxError: invalid syntax \(syntax.py, line 2\); correct the file"),
        ("failing.py", "failing.py, line 3: ZeroDivisionError: division by zero; correct"),
        ("field.py", "field.py, line 11: TypeError: .* unexpected keyword argument 'num_head'"),
        ("sizes.py", "--model.d-model 512 is not a multiple of --model.num-heads 3: change one"),
    ],
)
def test_a_mistaken_experiment_file_gets_one_line(run, folder, file, message):
    assert_is_error(run("train", file, "--workdir", "new"), message)
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--model.num-head 4",
            "unknown option '--model.num-head': did you mean '--model.num-heads'",
        ),
        (
            "--preset bsae",
            r"unknown --preset 'bsae': did you mean 'base'\? Known: .*\bbase, .*big, .*small",
        ),
        ("--convention farseq", "unknown --convention 'farseq': did you mean 'fairseq'"),
        ("--model.positions sinus", "unknown --model.positions 'sinus': .*sinusoidal"),
        (
            "--model.d-model 130 --model.num-heads 4",
            "--model.d-model 130 is not a multiple of --model.num-heads 4",
        ),
        ("--model.num-encoder-layers 0", "--model.num-encoder-layers must be at least 1, not 0"),
        ("--model.residual-dropout-rate -0.1", r"dropout-rate must be in \[0, 1\), not -0.1"),
        ("--model.residual-dropout-rate 1", r"dropout-rate must be in \[0, 1\), not 1"),
        ("--model.d-model wide", "--model.d-model must be a whole number, not 'wide'"),
        ("--model.dtype float16", "invalid choice 'float16' for argument '--model.dtype'"),
        ("--training.num-steps 0", "--training.num-steps must be at least 1, not 0"),
        ("--optimizer.schedule paper", "learning-rate 0.01 has no effect on the paper's schedule"),
        ("--data.dataset multi30k", "--data.train-source is set, but multi30k does not read it"),
        ("--data.manual-dir x", "--data.manual-dir is set, but text_files does not read it"),
        ("--data.train-target three.txt", "source.txt has 20 lines but .*three.txt has 3: line N"),
        ("--data.train-source gone.txt", "gone.txt does not exist: give the path of a text file"),
        ("--data.train-source empty.txt", "empty.txt is empty: give a file with one sentence"),
        ("--data.train-source latin.txt", "latin.txt, line 3 is not UTF-8: convert the file"),
        ("--data.train-source nothing", "nothing is a folder: give the path of a text file"),
        (
            "--data.train-split trian",
            r"unknown --data.train-split of text_files 'trian': did you mean 'train'",
        ),
    ],
)
def test_a_mistaken_option_gets_one_line_and_writes_nothing(run, folder, options, message):
    assert_is_error(run("train", "small.py", "--workdir", "new", *options.split()), message)
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "numberwords",
            r"unknown --data.dataset 'numberwords': did you mean 'number_words'\? Known: ",
        ),
        ("wmt14_translat/de-en", "unknown --data.dataset .* did you mean 'wmt14_translate'"),
        (
            "wmt14_translate/de-xx",
            "unknown variant of --data.dataset wmt14_translate 'de-xx': .* 'de-en'",
        ),
    ],
)
def test_an_unknown_data_set_gets_one_line(run, folder, name, message):
    (folder / "default.py").write_text(f"{IMPORTS}\nexperiment = Experiment()\n")
    assert_is_error(run("train", "default.py", "--workdir", "new", "--data.dataset", name), message)
    assert not (folder / "new").exists()


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "train small.py --workdir run --seed 3",
            r"run holds another experiment \(--seed was 0, now 3\): cho",
        ),
        ("evaluate --workdir run --split tset", "unknown --split of text_files 'tset'"),
        ("evaluate --workdir run --split test", "; give --data.test-source and --data.test-target"),
        ("evaluate --workdir run --weights worst", "invalid choice 'worst' for argument"),
        ("translate --workdir run --dtype bfloat61 a", "invalid choice 'bfloat61'.*'bfloat16'"),
        (
            "translate --workdir run --n-best 5 a",
            "5 outputs .* at most 4: raise --decoding.beam-size",
        ),
        ("translate --workdir run --n-best 0 a", "--decoding.num-best must be at least 1, not 0"),
        (
            "translate --workdir run --n-bets 2 a",
            "unknown option '--n-bets': did you mean '--n-best'",
        ),
    ],
)
def test_a_mistake_about_a_trained_model_gets_one_line(run, line, message):
    assert_is_error(run(*line.split()), message)


def test_every_command_is_listed_and_a_file_of_its_own():
    files = {module.name for module in pkgutil.iter_modules(commands.__path__)}
    modules = {kind.__module__.rpartition(".")[2] for kind in map(find_command, COMMANDS)}
    assert modules == {f"{name.replace('-', '_')}_command" for name in COMMANDS}
    assert modules == files - {"inspected_model", "trained_model", "several_processes"}


OUTSIDE = '''
"""A command of another package."""
import dataclasses

@dataclasses.dataclass(frozen=True)
class Shout:
    """Say something loudly."""

    word: str = "two"
    """What to say."""

    def run(self) -> None:
        print(self.word.upper())
'''


def test_a_command_of_another_package_is_one_more_entry(run, tmp_path, monkeypatch):
    (tmp_path / "shouting.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "shout", ("use", "shouting", "Shout"))
    assert run("shout", "--word", "zwei").out == "ZWEI\n"
    assert re.search(r"shout +Say something loudly", run("--help").out)
    assert "What to say" in run("shout", "--help").out
    assert_is_error(run("shuot"), "unknown command 'shuot': did you mean 'shout'")


def test_the_version_is_that_of_the_installed_package(run):
    assert run("--version").out == f"{importlib.metadata.version('flax_transformer')}\n"


def test_the_commands_are_listed_by_group(run):
    _, _, *groups, _ = run("--help").out.split("\n\n")
    listed = [group.splitlines()[0] for group in groups]
    assert listed == ["train", "use", "exchange", "inspect"]
    lines = "\n".join(groups)
    assert re.findall(r"^  ([a-z][\w-]*)", lines, re.MULTILINE) == list(COMMANDS)


POSITIONAL = ("data", "experiment_file", "text", "texts", "sentences", "workdirs", "inputs")


def option_names(command, prefix=""):
    """The options of a command's fields, with dots between the parts."""
    for field in dataclasses.fields(command):
        value = getattr(command, field.name, None)  # what an instance filled in, or the default
        if dataclasses.is_dataclass(value):
            nested = "" if field.name == "experiment" else f"{prefix}{field.name}."
            yield from option_names(value, nested)
        elif field.name not in POSITIONAL and (command, field.name) != (Import, "model"):
            yield f"--{prefix}{field.name}".replace("_", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_every_field(run, name):
    result = run(name, "--help")
    shown = set(re.findall(r"--[a-z0-9.-]+", result.out))
    assert result.code == 0
    assert set(option_names(find_command(name))) <= shown


def test_the_program_reads_its_arguments(folder):
    program = "from flax_transformer.cli import main; main()"
    command = [sys.executable, "-c", program, "evaluate", "--workdir", "nothing"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert_is_error(
        SimpleNamespace(code=result.returncode, out=result.stdout, err=result.stderr),
        "nothing holds no run",
    )


# What Python tells of where nobody is left to raise it to.
COMMAND_WITH_REMARKS = """
import asyncio, dataclasses
from flax_transformer.cli import execute

class Remark:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        raise RuntimeError(self.text)

async def fail():
    raise ValueError("a task that nobody awaits")

async def leave_undone():
    asyncio.ensure_future(fail())
    await asyncio.sleep(0)

@dataclasses.dataclass(frozen=True)
class Command:
    def run(self):
        Remark("Event loop is closed")
        Remark("something else")
        asyncio.run(leave_undone())

execute(Command, [])
"""


def test_of_what_nobody_awaits_only_what_was_cut_short_is_not_told():
    command = [sys.executable, "-c", COMMAND_WITH_REMARKS]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stderr
    assert "something else" in told
    assert "Event loop" not in told
    assert "nobody awaits" not in told
