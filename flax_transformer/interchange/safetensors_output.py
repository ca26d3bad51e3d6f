"""Writing of files in the safetensors format, one tensor at a time."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.interchange.safetensors_files import FLOATS, INDEX, SINGLE
from flax_transformer.whole_files import written_whole

# The type and the shape of a tensor.
Kind = tuple[np.dtype, tuple[int, ...]]


def write_files(
    folder: Path,
    kinds: Mapping[str, Kind],
    tensors: Iterable[tuple[str, np.ndarray]],
    largest: int,
) -> None:
    """Writes tensors to one file, or to several with an index.

    Args:
        folder: of the files.
        kinds: types and shapes of all tensors, in the order of `tensors`.
        tensors: names and values, which are taken one after the other.
        largest: bytes of tensors in one file, unless a single tensor has more.
    """
    files, size = [[]], 0
    for name, (dtype, shape) in kinds.items():
        size += dtype.itemsize * math.prod(shape)
        if files[-1] and size > largest:
            files.append([])
            size = dtype.itemsize * math.prod(shape)
        files[-1].append(name)
    paths = [SINGLE]
    if len(files) > 1:
        number = len(files)
        paths = [f"model-{i + 1:05}-of-{number:05}.safetensors" for i in range(number)]
    remaining = iter(tensors)
    for path, names in zip(paths, files, strict=True):
        write_file(folder / path, {name: kinds[name] for name in names}, remaining)
    if len(files) > 1:
        sizes = [dtype.itemsize * math.prod(shape) for dtype, shape in kinds.values()]
        index = {name: path for path, names in zip(paths, files, strict=True) for name in names}
        text = json.dumps({"metadata": {"total_size": sum(sizes)}, "weight_map": index}, indent=2)
        with written_whole(folder / INDEX) as unfinished:
            unfinished.write_text(text, "utf-8")


def write_file(
    path: Path,
    kinds: Mapping[str, Kind],
    tensors: Iterator[tuple[str, np.ndarray]],
) -> None:
    """Writes tensors to one file; see `write_files`."""
    codes = {np.dtype(name): code for code, name in FLOATS.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (dtype, shape) in kinds.items():
        end = position + dtype.itemsize * math.prod(shape)
        header[name] = {
            "dtype": codes[dtype],
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header).encode()
    # Tensors begin at a multiple of 8 bytes.
    text += b" " * (-len(text) % 8)
    with written_whole(path) as unfinished, unfinished.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, (dtype, shape) in kinds.items():
            given, tensor = next(tensors)
            assert given == name
            assert tensor.shape == shape
            file.write(np.ascontiguousarray(tensor, dtype).reshape(-1).view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
