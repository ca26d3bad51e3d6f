"""The user's own files of a data set, and the detection of changed files."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.files.folders import files_in

# For all files together. Hashing more would delay the first step by many seconds. Beyond this, only
# sizes and times are compared.
MAX_HASHED_BYTES = 4 * 2**30


class FileState(NamedTuple):
    """The recorded state of a file.

    Attributes:
        size: in bytes.
        modified_ns: time of the last change, in nanoseconds since 1970.
        sha256: hexadecimal digest of its contents; None if the files are too large to be read.
    """

    size: int
    modified_ns: int
    sha256: str | None

    def has_contents_of(self, other: "FileState") -> bool:
        """Returns whether the contents are the same, by digest or by size and time.

        Example:
            >>> FileState(3, 100, "ab").has_contents_of(FileState(3, 200, "ab"))
            True
        """
        same_time = self.modified_ns == other.modified_ns
        same_digest = self.sha256 is not None and self.sha256 == other.sha256
        return self.size == other.size and (same_time or same_digest)


def find_source_files(config: DataConfig) -> Iterator[Path]:
    """Returns all of the user's own files that a config names, including those in its folders.

    Published data is verified when it is prepared, and its files are not read again.

    Args:
        config: config with absolute paths.
    """
    single = (getattr(config, name) for name in config.PATHS)
    lists = (value for name in config.PATH_LISTS for value in getattr(config, name))
    for path in map(Path, filter(None, (*single, *lists))):
        if path.is_dir():
            yield from files_in(path, config.ENDINGS)[0]
        elif path.is_file():
            yield path


def file_states(paths: Iterable[Path], known: Mapping[str, FileState]) -> dict[str, FileState]:
    """Returns the state of each file by its path.

    Contents are read only if size or time differ from the known state, and once per process.

    Raises:
        OSError: if a file cannot be read.
    """
    stats = {str(path): path.stat() for path in paths}
    hashes = sum(stat.st_size for stat in stats.values()) <= MAX_HASHED_BYTES
    states = {}
    for path, stat in stats.items():
        now = stat.st_size, stat.st_mtime_ns
        found = (known.get(path), _read_before.get(path))
        same = [state for state in found if state is not None and state[:2] == now]
        digest = _sha256(path) if hashes and not same else None
        states[path] = same[0] if same else FileState(*now, digest)
    _read_before.update(states)
    return states


_read_before: dict[str, FileState] = {}


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
