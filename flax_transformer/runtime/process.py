"""Settings of the process, made before JAX finds its devices: for programs, not for libraries."""

import ctypes
import os
import platform
import re
from typing import Any

import jax

# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_DETERMINISTIC = "--xla_gpu_deterministic_ops=true"


def keep_freed_memory() -> bool:
    """Makes this process keep the memory it frees.

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
    """Makes a CPU begin a program when the one before has ended.

    By default JAX hands over the next step while the last one computes, and XLA takes its temporary
    arrays at once: twice the memory, to no gain, as both steps wait for the same cores. What
    JAX_CPU_ENABLE_ASYNC_DISPATCH says stays. Does nothing to accelerators and to programs of
    several devices.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def spare_threads() -> int:
    """Lets simulated devices wait for each other without waiting for ever.

    Devices are simulated with XLA_FLAGS=--xla_force_host_platform_device_count=N or
    JAX_NUM_CPU_DEVICES=N. XLA then makes one thread for each device or core, whichever are more.
    A device that waits in a sum over devices holds a thread, and may wait for one whose work is
    queued behind it: on a busy machine that ends in "Expected 8 threads to join the rendezvous".
    Two threads for each device prevent it. What NPROC already says stays.

    Returns:
        The number of simulated devices; 1 if there are none.
    """
    settings: Any = jax.config  # whose fields JAX makes as it starts
    flags = os.environ.get("XLA_FLAGS", "")
    asked = re.findall(r"--xla_force_host_platform_device_count=(\d+)", flags)
    num_devices = max(int(asked[-1]) if asked else 1, settings.jax_num_cpu_devices)
    if num_devices > 1:
        os.environ.setdefault("NPROC", str(max(2 * num_devices, os.cpu_count() or 1)))
    return num_devices


def repeat_bits() -> None:
    """Makes GPUs compute the same bits in every run, at some cost of speed.

    On a GPU, sums that many threads add up in any order, and kernels that are chosen by timing
    them, may differ in the last bits from run to run. XLA's flag excludes both. CPUs and TPUs
    repeat their bits without it; XLA knows the flag there too, while one that it does not know
    would end the process. Random bits follow from the seed in any case.

    Reference:
        OpenXLA, "Determinism (GPU)", https://openxla.org/xla/determinism.
    """
    # Of two equal flags the later one counts.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DETERMINISTIC}".strip()
