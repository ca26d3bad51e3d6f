"""Files of tensors in the safetensors format, checked, and read one tensor at a time.

A file is the length of its header in 8 bytes, the header in JSON, and the tensors' bytes. The
header gives each tensor's type, shape, and place among these bytes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401  (it gives bfloat16 to NumPy)
import numpy as np

from flax_transformer.errors import UserError

# Types of parameters in a header, and their names in NumPy.
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Bytes of a number of each type that a file may hold.
WIDTHS = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1},
    **{"U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4},
    **{"U64": 8, "I64": 8, "F64": 8},
}
LARGEST_HEADER = 100_000_000
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class Place(NamedTuple):
    """The place of a tensor: its file, type, shape, and first and last byte."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of a folder, read when they are looked up; only the headers are read at once.

    A looked-up tensor is a view of its memory-mapped file, which needs no memory of the process.

    Args:
        folder: holds model.safetensors, or the files that model.safetensors.index.json names.
        single: name of the only file to read, if it has another name.

    Raises:
        UserError: says in one line what is wrong with the files.
    """

    def __init__(self, folder: Path, single: str | None = None):
        paths, index = find_files(folder) if single is None else ([folder / single], None)
        self.places: dict[str, Place] = {}
        for path in paths:
            for name, place in read_header(path).items():
                if name in self.places:
                    first = self.places[name].path.name
                    raise UserError(
                        f"tensor {name} is in both {first} and {path.name}: get the folder again"
                    )
                self.places[name] = place
        if index is not None:
            held = {name: place.path.name for name, place in self.places.items()}
            wrong = sorted(name for name, _ in held.items() ^ index.items())
            if wrong:
                raise UserError(
                    f"{folder / INDEX} and the headers of its files differ about "
                    f"{', '.join(wrong[:5])}: get the folder again"
                )
        self._maps: dict[Path, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        place = self.places[name]
        if place.dtype not in FLOATS:
            raise UserError(
                f"tensor {name} has the type {place.dtype}: only {', '.join(FLOATS)} are read"
            )
        if place.path not in self._maps:
            self._maps[place.path] = np.memmap(place.path, np.uint8, "r")
        raw = self._maps[place.path][place.begin : place.end]
        return np.asarray(raw).view(np.dtype(FLOATS[place.dtype])).reshape(place.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def find_files(folder: Path) -> tuple[list[Path], dict[str, str] | None]:
    """Returns the files of a folder, and for each tensor the name of its file if there is an index.

    Raises:
        UserError: if there are none, or only files that could run code.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {folder}: give a folder with {SINGLE} and config.json")
    if (folder / SINGLE).is_file():
        return [folder / SINGLE], None
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX).get("weight_map")
        if not isinstance(index, dict) or not index:
            raise UserError(f"{folder / INDEX} has no weight_map: get this file again")
        for name in index.values():
            if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
                raise UserError(
                    f"{folder / INDEX} names {name!r}: give the plain name of a file in this folder"
                )
            if not (folder / name).is_file():
                raise UserError(f"{folder / INDEX} names {name}, but the folder lacks it: get it")
        return [folder / name for name in dict.fromkeys(index.values())], index
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise UserError(
            f"{folder / pickles[0]} may run any code when it is read: where you trust it, convert "
            "it by AutoModel.from_pretrained(DIR).save_pretrained(OUT) of transformers, with the "
            "model's own class, and give OUT"
        )
    raise UserError(f"{folder} has neither {SINGLE} nor {INDEX}: give a folder with one of them")


def read_json(path: Path, largest: int = LARGEST_HEADER) -> dict[str, Any]:
    """Reads a JSON file that holds one object, without names that occur twice.

    Args:
        path: of the file.
        largest: refuse more bytes.

    Raises:
        UserError: if it is not such a file.
    """
    if not path.is_file():
        problem = "is not a plain file" if path.exists() else "is missing"
        raise UserError(f"{path} {problem}: get it again, or give another folder")
    if path.stat().st_size > largest:
        raise UserError(f"{path} has more than {largest:,} bytes: get it again")
    return _parsed(path.read_bytes(), path)


def damaged(path: Path, problem: str) -> UserError:
    """Makes the error for a file that is not whole."""
    return UserError(f"{path} is damaged: {problem}; get it again")


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{path} names {twice} twice: get it again")
        return dict(pairs)

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its JSON cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise damaged(path, "its JSON is not an object")
    return value


def read_header(path: Path) -> dict[str, Place]:
    """Reads and checks the header of a file.

    Raises:
        UserError: if the header is not that of a whole file: tensors must fill it without gaps.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            raise damaged(path, f"its header of {length:,} bytes does not fit it")
        header = _parsed(file.read(length), path)
    header.pop("__metadata__", None)
    places = {name: _place(path, name, entry, 8 + length) for name, entry in header.items()}
    position = 8 + length
    for name, place in sorted(places.items(), key=lambda item: item[1].begin):
        if place.begin != position:
            raise damaged(path, f"tensor {name} does not begin where another ends")
        position = place.end
    if position != size:
        raise damaged(path, f"tensors end at byte {position:,} of {size:,}")
    return places


def _place(path: Path, name: str, entry: Any, start: int) -> Place:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
        sound = all(type(number) is int and number >= 0 for number in numbers)
        sound = sound and end - begin == WIDTHS[dtype] * math.prod(shape)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise damaged(path, f"the header's entry of tensor {name} is impossible")
    return Place(path, dtype, tuple(shape), start + begin, start + end)


def is_finite(array: np.ndarray) -> bool:
    """Returns whether no number is infinite or not a number; reads a small block at a time."""
    bits = array.reshape(-1).view(np.uint32 if array.itemsize == 4 else np.uint16)
    # The bits of infinity: every larger number without a sign is not a number.
    infinity = int(np.asarray(np.inf, array.dtype).view(bits.dtype))
    without_sign = bits.dtype.type(np.iinfo(bits.dtype).max >> 1)
    blocks = range(0, bits.size, 1 << 18)
    return all((bits[i : i + (1 << 18)] & without_sign).max() < infinity for i in blocks)
