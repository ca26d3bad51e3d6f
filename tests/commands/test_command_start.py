"""What a command imports, and does, before it answers."""

import json
import signal
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


@pytest.mark.parametrize(
    "module", ["tyro", "jax.version", "flax", "flax_transformer.training.loop"]
)
def test_an_interrupted_start_ends_at_once_with_one_line(folder, tmp_path, module):
    words = ["train", "small.py", "--workdir", str(tmp_path / "run")]
    # Python names each module on standard error when it is imported.
    command = [sys.executable, "-X", "importtime", "-m", "flax_transformer", *words]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.split()[-1] == module:
                process.send_signal(signal.SIGINT)
                break
        else:
            pytest.fail(f"{module} is not imported")
        (said,) = [line for line in process.stderr if not line.startswith("import time:")]
    assert process.returncode == 130
    assert said == "interrupted\n" or said.startswith("interrupted before a step was made: ")


# The first time, the signal comes in a callback of the garbage collector.
INTERRUPTED_COLLECTION = """
import dataclasses, gc, signal, time
from flax_transformer.cli import execute

# Whatever started the tests may ignore the signal, as a shell does for its background jobs.
signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt(*_):
    gc.callbacks.clear()
    signal.raise_signal(signal.SIGINT)

@dataclasses.dataclass(frozen=True)
class Command:
    def run(self):
        gc.callbacks[:] = [interrupt]
        gc.collect()
        time.sleep(60)

execute(Command, [])
"""


def test_an_interruption_is_not_lost_in_a_callback():
    command = [sys.executable, "-c", INTERRUPTED_COLLECTION]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
