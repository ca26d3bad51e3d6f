"""Settings of the process and its compiled programs: for programs, not for libraries."""

import contextlib
import ctypes
import os
import platform
import re
import warnings
from pathlib import Path
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


# JAX's names. However small or quickly compiled a program is, a later start has it ready: a
# training has dozens of small ones, which together take seconds.
_KEEP_EVERYTHING = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_LARGEST_FOLDER = 2 * 2**30


def keep_compiled_programs() -> Path | None:
    """Makes this process keep what it compiles in the user's cache folder; for programs only.

    The folder is flax_transformer/compiled in XDG_CACHE_HOME or ~/.cache, of at most 2 GiB, and the
    user's own: whoever writes into it decides what later starts run. What is set already stays: a
    folder (JAX_COMPILATION_CACHE_DIR), whose size is its owner's matter, limits by the environment,
    and JAX_ENABLE_COMPILATION_CACHE=0. Where the folder cannot be written, a warning is all that
    comes of it.

    Returns:
        The folder in use; None if nothing is kept.
    """
    settings: Any = jax.config  # whose fields JAX makes as it starts
    if not settings.jax_enable_compilation_cache:
        return None
    chosen = settings.jax_compilation_cache_dir
    folder = chosen or _own_folder()
    if folder is None:
        return None
    if not chosen:
        shrink(folder, _LARGEST_FOLDER)
    settings.update("jax_compilation_cache_dir", str(folder))
    for name, value in _KEEP_EVERYTHING.items():
        if name.upper() not in os.environ:
            settings.update(name, value)
    return Path(folder)


def shrink(folder: Path, num_bytes: int) -> None:
    """Deletes files that were not used for the longest time until the rest fits.

    JAX has a limit of its own, which a process that is killed while it writes breaks for good.
    """
    used = []
    for path in folder.iterdir():
        # Another process may delete it too.
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            used.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    excess = sum(size for _, size, _ in used) - num_bytes
    for _, size, path in sorted(used):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def _own_folder() -> Path | None:
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "flax_transformer", "compiled").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # fails where it is another user's
    except (OSError, RuntimeError) as error:  # the latter where a user has no home
        warnings.warn(
            f"compiled programs are not kept ({error}): set XDG_CACHE_HOME to a folder of yours",
            stacklevel=2,
        )
        return None
    return folder
