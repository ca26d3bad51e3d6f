import platform
import subprocess
import sys

import pytest

# Frees 64 MiB and prints how many of them the process still holds.
PROGRAM = """
import ctypes, resource, sys
from flax_transformer.runtime.process import keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 2**20

if sys.argv[1] == "keep":
    assert keep_freed_memory()
before = resident()
array = bytearray(64 * 2**20)
array[::4096] = bytes(len(array[::4096]))
assert resident() - before >= 60
del array
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
@pytest.mark.parametrize(("mode", "is_kept"), [("keep", True), ("default", False)])
def test_freed_memory_is_kept_on_request(mode, is_kept):
    command = [sys.executable, "-c", PROGRAM, mode]
    held = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert (held >= 60) == is_kept


# Computes for a while, as a command, and prints whether the call came back with the result.
COMMAND = """
import dataclasses
import jax, jax.numpy as jnp
from flax_transformer.cli import execute

@dataclasses.dataclass(frozen=True)
class Compute:
    def run(self):
        multiply = jax.jit(lambda x: jax.lax.fori_loop(0, 300, lambda _, y: y @ x, x))
        matrix = jnp.eye(512).block_until_ready()
        multiply(matrix).block_until_ready()
        print(multiply(matrix).is_ready())

execute(Compute, [])
"""


@pytest.mark.parametrize(("asked", "waits"), [(None, True), ("1", False)])
def test_a_command_ends_a_program_before_the_next_unless_asked_otherwise(monkeypatch, asked, waits):
    name = "JAX_CPU_ENABLE_ASYNC_DISPATCH"
    monkeypatch.delenv(name, raising=False)
    if asked is not None:
        monkeypatch.setenv(name, asked)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    command = [sys.executable, "-c", COMMAND]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert printed.strip() == str(waits)
