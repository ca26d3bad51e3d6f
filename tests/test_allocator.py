import platform
import subprocess
import sys

import pytest

# Frees 64 MiB and prints how many of them the process still holds.
PROGRAM = """
import ctypes, resource, sys
from flax_transformer.allocator import keep_freed_memory

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
