"""Memory of a step's large temporary arrays: taken once at a time, and kept for the next step."""

import ctypes
import os
import platform

import jax

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def keep_freed_memory() -> bool:
    """Makes this process keep the memory it frees; for programs, not for libraries.

    XLA on a CPU allocates the temporary arrays of a step anew each time. By default glibc gives
    arrays of megabytes back to the system at once, so each step pays for hundreds of megabytes of
    fresh pages: half of the time of a small model's training step.

    Returns:
        Whether the C library has these settings (glibc on Linux does).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_ARENA_MAX: 1}
    return all(set_option(name, value) == 1 for name, value in settings.items())


def run_one_program_at_a_time() -> None:
    """Makes a CPU begin a program when the one before has ended; for programs, not for libraries.

    By default JAX hands over the next step while the last one computes, and XLA takes its temporary
    arrays at once: twice the memory, to no gain, as both steps wait for the same cores. What
    JAX_CPU_ENABLE_ASYNC_DISPATCH says stays. To be called before JAX finds its devices; does
    nothing to accelerators and to programs of several devices.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)
