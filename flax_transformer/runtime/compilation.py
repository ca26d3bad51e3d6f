"""Compiled programs, kept for the next start of the same command."""

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import jax

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
