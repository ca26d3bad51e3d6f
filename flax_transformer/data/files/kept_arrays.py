"""Data derived from a data set, kept as arrays in files: tokens, pixels and tokenizers."""

import contextlib
import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.whole_files import written_whole

# NumPy and json do not document their errors for a missing, cut or changed file. A single bit can
# make an array look larger than any memory.
DAMAGED = Exception
Arrays = Mapping[str, np.ndarray]
Piece = Arrays | Callable[[], Arrays]
VERSION = 2  # increase when the content of the same key changes
FOLDER = "flax_transformer"  # in the folder of the prepared data set
_shard: ContextVar[tuple[int, int] | None] = ContextVar("shard", default=None)


@contextlib.contextmanager
def only_shard(index: int, number: int) -> Iterator[None]:
    """Makes only some pieces of arrays in this context: each `number`-th, from `index` on.

    Other machines make the others, into the same folder. The first `keep` outside of such a context
    puts them together, and makes those that are missing.
    """
    token = _shard.set((index, number))
    try:
        yield
    finally:
        _shard.reset(token)


def keep(
    dataset: Path, key: Any, make: Callable[[], Iterable[Piece]], *, is_checked: bool = True
) -> Arrays:
    """Returns the arrays of a key by name; makes them if they do not exist.

    The arrays are written in pieces and memory-mapped, so they may be larger than the memory.
    Damaged arrays are made again. If the folder is not writable, they are made in a temporary one,
    which the system deletes after use.

    Args:
        dataset: folder of the prepared data set, which must exist.
        key: plain data that determines the content; its digest names the files.
        make: yields pieces of arrays; each array is the concatenation of its pieces. A piece may
            be a function that makes it: several machines can then share the work, see `only_shard`.
        is_checked: whether to detect every changed bit, which reads all data; otherwise only a
            changed size, shape or type is detected.
    """
    kept, text = dataset / FOLDER, json.dumps([VERSION, key])
    stem = hashlib.sha256(text.encode()).hexdigest()[:32]
    with contextlib.suppress(DAMAGED):
        return _load(kept, stem, is_checked)
    # The folder belongs to another user, or the disk is full.
    with contextlib.suppress(OSError):
        kept.mkdir(exist_ok=True)
        if (shard := _shard.get()) is not None:
            return _make_shard(kept, stem, make(), *shard)
        _write(kept, stem, _with_made(kept, stem, make()))
        for path in kept.glob(f"{stem}.[0-9]*"):
            path.unlink(missing_ok=True)
        return _load(kept, stem, is_checked=False)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), stem, _with_made(kept, stem, make()))
        return _load(Path(folder), stem, is_checked=False)


def _with_made(folder: Path, stem: str, pieces: Iterable[Piece]) -> Iterator[Arrays]:
    """Makes pieces, except those that other machines have made."""
    for number, piece in enumerate(pieces):
        if not callable(piece):
            yield piece
            continue
        made = None
        with contextlib.suppress(DAMAGED):
            made = _load(folder, f"{stem}.{number}", is_checked=True)
        yield made or piece()


def _make_shard(
    folder: Path, stem: str, pieces: Iterable[Piece], index: int, number: int
) -> Arrays:
    """Keeps the pieces of a shard; returns arrays of these, which only exist while they are used.

    A shard without a piece has the first one, which is not kept.
    """
    with tempfile.TemporaryDirectory() as temporary:
        _write(Path(temporary), stem, _own_pieces(folder, stem, pieces, index, number))
        return _load(Path(temporary), stem, is_checked=False)


def _own_pieces(
    folder: Path, stem: str, pieces: Iterable[Piece], index: int, number: int
) -> Iterator[Arrays]:
    first: Callable[[], Arrays] | None = None
    has_one = False
    for place, piece in enumerate(pieces):
        if not callable(piece):
            yield piece
            continue
        first = first or piece
        if place % number != index:
            continue
        has_one, own = True, f"{stem}.{place}"
        try:
            yield _load(folder, own, is_checked=True)
        except DAMAGED:
            _write(folder, own, [piece()])
            yield _load(folder, own, is_checked=False)
    if first is not None and not has_one:
        yield first()


class _GrowingArray:
    """An array in a .npy file to which rows are appended."""

    def __init__(self, path: Path, like: np.ndarray):
        self._file = path.open("wb")
        self._dtype, self._shape, self._rows, self._crc = like.dtype, like.shape[1:], 0, 0
        self._write_header()

    def append(self, rows: np.ndarray) -> None:
        """Appends rows; shape and type must be those of the first rows."""
        content = np.ascontiguousarray(rows, self._dtype).ravel().data
        self._file.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self._rows += len(rows)

    def close(self) -> dict[str, Any]:
        """Ends the file; returns the record that `_load` compares it with."""
        self._file.seek(0)
        shape = self._write_header()
        self._file.close()
        return {"dtype": self._dtype.str, "shape": shape, "crc32": self._crc}

    def _write_header(self) -> tuple[int, ...]:
        """Writes the shape; NumPy reserves the same space for any number of rows."""
        shape = (self._rows, *self._shape)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": self._dtype.str, "fortran_order": False, "shape": shape}
        )
        return shape


def _write(folder: Path, stem: str, pieces: Iterable[Arrays]) -> None:
    """Writes all arrays, and then their record, so that incomplete data is never read."""
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
    """Maps all arrays; raises one of `DAMAGED` if they differ from their record."""
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
