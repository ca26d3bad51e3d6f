"""What was made of a data set, kept as arrays in files: tokens, pixels and tokenizers."""

import contextlib
import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.whole_files import written_whole

# NumPy and json do not document their errors for a missing, cut or changed file: a single bit can
# make an array look larger than any memory.
DAMAGED = Exception
Arrays = Mapping[str, np.ndarray]
VERSION = 2  # to be raised when what the same key stands for is made in another way
FOLDER = "flax_transformer"  # in that of the prepared data set


def keep(
    dataset: Path, key: Any, make: Callable[[], Iterable[Arrays]], *, is_checked: bool = True
) -> Arrays:
    """Gives the arrays of a key by their names, made if they are not here.

    They are written in pieces and read by memory mapping, so they may be larger than the memory.
    Damaged arrays are made again. If the folder cannot be written, they are made in a temporary
    one, which the system deletes when they are no longer used.

    Args:
        dataset: folder of the prepared data set, which exists.
        key: plain data, all that the content depends on; its digest names the files.
        make: gives pieces of arrays, of which each array is the concatenation.
        is_checked: whether every changed bit is to be found, for which all is read; otherwise only
            a changed size, shape or type is found.
    """
    kept, text = dataset / FOLDER, json.dumps([VERSION, key])
    stem = hashlib.sha256(text.encode()).hexdigest()[:32]
    with contextlib.suppress(DAMAGED):
        return _load(kept, stem, is_checked)
    # Somebody else's folder, or a full disk.
    with contextlib.suppress(OSError):
        kept.mkdir(exist_ok=True)
        _write(kept, stem, make())
        return _load(kept, stem, is_checked=False)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), stem, make())
        return _load(Path(folder), stem, is_checked=False)


class _GrowingArray:
    """An array in a .npy file, to which rows are added at the end."""

    def __init__(self, path: Path, like: np.ndarray):
        self._file = path.open("wb")
        self._dtype, self._shape, self._rows, self._crc = like.dtype, like.shape[1:], 0, 0
        self._write_header()

    def append(self, rows: np.ndarray) -> None:
        """Writes rows of the first ones' shape and type."""
        content = np.ascontiguousarray(rows, self._dtype).ravel().data
        self._file.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self._rows += len(rows)

    def close(self) -> dict[str, Any]:
        """Ends the file, and gives what `_load` compares it with."""
        self._file.seek(0)
        shape = self._write_header()
        self._file.close()
        return {"dtype": self._dtype.str, "shape": shape, "crc32": self._crc}

    def _write_header(self) -> tuple[int, ...]:
        """Writes the shape, for which NumPy leaves equal room whatever the number of rows."""
        shape = (self._rows, *self._shape)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        )
        return shape


def _write(folder: Path, stem: str, pieces: Iterable[Arrays]) -> None:
    """Writes all arrays, and at last what there is, so that half of them are never read."""
    growing: dict[str, _GrowingArray] = {}
    with contextlib.ExitStack() as stack:
        for piece in pieces:
            for name, rows in piece.items():
                if name not in growing:
                    path = stack.enter_context(written_whole(folder / f"{stem}-{name}.npy"))
                    growing[name] = _GrowingArray(path, rows)
                growing[name].append(rows)
        contents = {name: array.close() for name, array in growing.items()}
        path = stack.enter_context(written_whole(folder / f"{stem}.json"))
        path.write_text(json.dumps(contents))


def _load(folder: Path, stem: str, is_checked: bool) -> Arrays:
    """Maps all arrays; raises one of `DAMAGED` unless they are as they were written."""
    contents = json.loads((folder / f"{stem}.json").read_text())
    return {
        name: _map(folder / f"{stem}-{name}.npy", wanted, is_checked)
        for name, wanted in contents.items()
    }


def _map(path: Path, wanted: Mapping[str, Any], is_checked: bool) -> np.ndarray:
    array: np.memmap = np.load(path, mmap_mode="r")
    is_whole = array.offset + array.nbytes == path.stat().st_size
    is_whole &= [array.dtype.str, list(array.shape)] == [wanted["dtype"], wanted["shape"]]
    if not is_whole or (is_checked and zlib.crc32(array.ravel().data) != wanted["crc32"]):
        raise ValueError(f"{path} is changed")
    return array
