"""Settings of the process and its compilation cache: for programs, not for libraries."""

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

    On a CPU, XLA allocates the temporary arrays of every step again. By default glibc returns
    arrays of megabytes to the system at once, so each step must map hundreds of megabytes of fresh
    pages. This takes half of the time of a small model's training step.

    Returns:
        Whether the C library accepted these settings, as glibc on Linux does.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_ARENA_MAX: 1}
    return all(set_option(name, value) == 1 for name, value in settings.items())


def run_one_program_at_a_time() -> None:
    """Makes a CPU start a program only after the previous one has ended.

    By default JAX dispatches the next step while the last one computes, and XLA allocates its
    temporary arrays at once. This doubles the memory without a gain, as both steps wait for the
    same cores. A setting of JAX_CPU_ENABLE_ASYNC_DISPATCH is kept. Accelerators and programs of
    several devices are not affected.
    """
    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        jax.config.update("jax_cpu_enable_async_dispatch", False)


def spare_threads() -> int:
    """Prevents simulated devices from waiting for each other forever.

    Devices are simulated with XLA_FLAGS=--xla_force_host_platform_device_count=N or
    JAX_NUM_CPU_DEVICES=N. XLA then makes one thread for each device or core, whichever are more. A
    device that waits in a sum over devices occupies a thread. It may wait for a device that is
    queued behind it, and on a busy machine this ends in "Expected 8 threads to join the
    rendezvous". Two threads for each device prevent it. A setting of NPROC is kept.

    Returns:
        The number of simulated devices; 1 if there are none.
    """
    settings: Any = jax.config  # JAX creates its fields at import
    flags = os.environ.get("XLA_FLAGS", "")
    asked = re.findall(r"--xla_force_host_platform_device_count=(\d+)", flags)
    num_devices = max(int(asked[-1]) if asked else 1, settings.jax_num_cpu_devices)
    if num_devices > 1:
        os.environ.setdefault("NPROC", str(max(2 * num_devices, os.cpu_count() or 1)))
    return num_devices


def repeat_bits() -> None:
    """Makes GPUs compute the same bits in every run, at some cost of speed.

    On a GPU, sums that many threads accumulate in any order, and kernels chosen by timing, may
    differ in the last bits from run to run. XLA's flag excludes both. CPUs and TPUs are
    deterministic without it. XLA accepts the flag there too; an unknown flag would end the process.
    Random bits are determined by the seed in any case.

    Reference:
        OpenXLA, "Determinism (GPU)", https://openxla.org/xla/determinism.
    """
    # Of two equal flags the later one counts.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DETERMINISTIC}".strip()


# JAX's names. Programs are cached regardless of size and compile time: a training has dozens of
# small ones, which together take seconds.
_KEEP_EVERYTHING = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
_LARGEST_FOLDER = 2 * 2**30


def keep_compiled_programs() -> Path | None:
    """Makes this process cache compiled programs in the user's cache folder; for programs only.

    The folder is flax_transformer/compiled in XDG_CACHE_HOME or ~/.cache. It is limited to 2 GiB,
    and only the user may write to it, since its contents are executed. Existing settings are kept:
    a folder (JAX_COMPILATION_CACHE_DIR), which is then not limited in size, limits set in the
    environment, and JAX_ENABLE_COMPILATION_CACHE=0. If the folder cannot be written, the only
    effect is a warning.

    Returns:
        The folder in use; None without a cache.
    """
    settings: Any = jax.config  # JAX creates its fields at import
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
    """Deletes the least recently used files until the rest fits.

    JAX has its own limit, but a process that is killed while writing breaks it permanently.
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
        folder.chmod(0o700)  # fails if the folder belongs to another user
    except (OSError, RuntimeError) as error:  # RuntimeError if the user has no home
        warnings.warn(
            f"compiled programs are not kept ({error}): set XDG_CACHE_HOME to a folder of yours",
            stacklevel=2,
        )
        return None
    return folder
