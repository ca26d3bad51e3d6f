"""The most memory that a program needs, in processes of its own."""

import multiprocessing
import platform
import resource
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax

from flax_transformer.allocator import keep_freed_memory, run_one_program_at_a_time

NUM_PROCESSES = 3
NUM_RUNS = 3
BYTES_OF_MAXRSS = 1 if platform.system() == "Darwin" else 1024


def peak_memory(make: Callable[[], Callable[[], Any]]) -> int:
    """Makes a program in a new process, runs it three times and tells the peak of its memory.

    This is done by three processes one after the other: whether a run finds the memory of the run
    before it in one piece, or takes as much again, may be a matter of chance.

    The peak is of all that the process held at one time: Python, the libraries, the compiler's own
    memory while it compiled, parameters, optimizer state and the temporary arrays. Of an
    accelerator it is the host's memory, not the device's own. Freed memory is kept, and one program
    of JAX runs at a time, as the commands do it.

    Args:
        make: makes the program; the new process must be able to import it.

    Returns:
        The largest resident set, in bytes: the median of the processes.
    """
    # A process that this one starts by itself would, on Linux, begin with the peak of this one; so
    # a server starts it, which is small as long as it imports nothing.
    multiprocessing.set_forkserver_preload([])
    server = multiprocessing.get_context("forkserver")
    peaks = []
    for _ in range(NUM_PROCESSES):
        with ProcessPoolExecutor(1, mp_context=server) as process:
            peaks.append(process.submit(_peak_of, make).result())
    return statistics.median(peaks)


def _peak_of(make: Callable[[], Callable[[], Any]]) -> int:
    keep_freed_memory()
    run_one_program_at_a_time()
    run = make()
    for _ in range(NUM_RUNS):
        jax.block_until_ready(run())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS
