"""What was made of a prepared data set, kept in its folder: tokenizers and tokenised splits."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.whole_files import written_whole

# NumPy and zipfile do not document their errors for a missing, cut or changed file: a single bit
# can make it look compressed in another way, encrypted, or larger than any memory.
DAMAGED = Exception
PAIRS = ("source_tokens", "source_offsets", "target_tokens", "target_offsets", "left_out")
Arrays = dict[str, np.ndarray]
VERSION = 1  # to be raised when what the same key stands for is made in another way


class Kept:
    """A folder of files, each named by a digest of all that its content depends on.

    It lies in the data set's own folder, so that it goes when the data set goes. If it cannot be
    written, nothing is kept. A damaged file is made again. A checksum finds every changed bit; but
    the arrays of `rows` are not read as a whole, so only a changed size, shape or type is found.

    Args:
        dataset: folder of the prepared data set.
    """

    def __init__(self, dataset: Path):
        self.folder = dataset / "flax_transformer"

    def tokenizer(self, key: Any, make: Callable[[], Tokenizer]) -> Tokenizer:
        """Gives the tokenizer of a key, made if it is not here; the key is plain data."""

        def encoded() -> Arrays:
            return {"json": np.frombuffer(make().to_json().encode(), np.uint8)}

        found = self.arrays(["json", key], ["json"], encoded)
        return Tokenizer.from_json(found["json"].tobytes().decode())

    def arrays(self, key: Any, names: Iterable[str], make: Callable[[], Arrays]) -> Arrays:
        """Gives the arrays of a key by their names, made if they are not here."""
        path = self._path(key, "npz")
        with contextlib.suppress(DAMAGED), np.load(path) as file:
            return {name: file[name] for name in names}
        arrays = make()
        self._write(path, lambda path: _save(path, arrays))
        return arrays

    def rows(
        self,
        key: Any,
        names: Iterable[str],
        number: int,
        make: Callable[[], Iterator[dict[str, Any]]],
    ) -> Arrays:
        """Gives arrays that may be larger than the memory, made if they are not here.

        Each lies in a file of its own, of which is read what is used.

        Args:
            key: plain data.
            names: of the arrays.
            number: of their rows, at least 1.
            make: gives for each row its part of every array, all of one shape.
        """
        paths = {name: self._path([key, name], "npy") for name in names}

        def mapped() -> Arrays:
            return {name: _mapped(path, number) for name, path in paths.items()}

        with contextlib.suppress(DAMAGED):
            return mapped()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            self.folder.mkdir(exist_ok=True)
            files = {name: stack.enter_context(written_whole(p)) for name, p in paths.items()}
            _fill(make(), number, lambda name, *of: open_memmap(files[name], "w+", of[1], of[0]))
            stack.close()
            return mapped()
        # Nothing can be written: they must fit into the memory.
        return _fill(make(), number, lambda name, *of: np.empty(*of))

    def pairs(self, key: Any, make: Callable[[], TokenizedPairs]) -> TokenizedPairs:
        """Gives the sentences of a key, made if they are not here; the key is plain data."""
        return _pairs(self.arrays(key, PAIRS, lambda: _arrays(make())))

    def _path(self, key: Any, kind: str) -> Path:
        text = json.dumps([VERSION, key])
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.{kind}"

    def _write(self, path: Path, save: Callable[[Path], None]) -> None:
        # Somebody else's folder, or a full disk: the next start makes it again.
        with contextlib.suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            save(path)


def _mapped(path: Path, number: int) -> np.ndarray:
    """Opens an array of rows, of which only the rows in use are read."""
    array = np.load(path, mmap_mode="r")
    has_size = len(array) == number and array.offset + array.nbytes == path.stat().st_size
    if not has_size or not array.dtype.isnative or array.dtype.kind not in "biuf":
        raise ValueError(f"{path} is changed")
    return array


def _save(path: Path, arrays: Arrays) -> None:
    """Writes one file, whole or not at all."""
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        named: Any = arrays
        np.savez(file, **named)


def _fill(
    rows: Iterator[dict[str, Any]],
    number: int,
    new: Callable[[str, tuple[int, ...], np.dtype], np.ndarray],
) -> Arrays:
    """Writes rows into arrays that `new` makes by their name, shape and type."""
    arrays = {}
    for index, row in enumerate(rows):
        if not arrays:
            like = {name: np.asarray(part) for name, part in row.items()}
            arrays = {n: new(n, (number, *part.shape), part.dtype) for n, part in like.items()}
        for name, part in row.items():
            arrays[name][index] = part
    return arrays


def _arrays(pairs: TokenizedPairs) -> Arrays:
    source, target, left_out = pairs
    return dict(zip(PAIRS, (*source, *target, np.array(left_out)), strict=True))


def _pairs(arrays: Arrays) -> TokenizedPairs:
    *sides, left_out = (arrays[name] for name in PAIRS)
    return TokenizedPairs(TokenizedText(*sides[:2]), TokenizedText(*sides[2:]), int(left_out))
