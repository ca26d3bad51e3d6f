"""What a command imports, and does, before it answers."""

import json
import subprocess
import sys

import pytest

from flax_transformer.commands import COMMANDS, find_command, read_description

PROGRAM = """
import contextlib, io, json, sys
from flax_transformer.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
"""
HEAVY = ["jax", "flax", "optax", "numpy", "orbax", "tensorflow_datasets", "matplotlib", "sacrebleu"]


def imported(*words) -> set[str]:
    """The modules that a process has imported when it has run a command."""
    command = [sys.executable, "-c", PROGRAM, *words]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return set(json.loads(printed))


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_waits_for_no_library(word):
    assert not imported(word).intersection(HEAVY)


@pytest.mark.parametrize("name", ["list", "table3", "conventions"])
def test_a_command_waits_for_no_other_and_for_no_data(name):
    modules = imported(name)
    others = {module for _, module, _ in COMMANDS.values()}
    assert modules & others == {COMMANDS[name][1]}
    assert not modules & {"orbax", "tensorflow_datasets", "matplotlib", "grain", "tensorboardX"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_docstrings_do(name, run):
    assert find_command(name).__doc__
    first = read_description(name).splitlines()[0]
    assert first == (find_command(name).__doc__ or "").splitlines()[0]
    assert first.split()[0] in run("--help").out


# Prints the processor seconds of the imports and of the command itself.
RATIO = """
import contextlib, io, time
started = time.process_time()
from flax_transformer.commands.list_command import List
imported = time.process_time()
with contextlib.redirect_stdout(io.StringIO()):
    List().run()
print((time.process_time() - imported) / (imported - started))
"""


def test_a_list_takes_no_longer_than_its_imports():
    command = [sys.executable, "-c", RATIO]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert float(printed) < 1
