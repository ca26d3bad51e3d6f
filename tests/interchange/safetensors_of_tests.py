"""Files in the safetensors format for tests, sound or damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "float16": "F16"}


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of the tensors."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def joined(header: dict[str, Any] | str, data: bytes) -> bytes:
    """The bytes of a file."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


def change_tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> None:
    """Replaces the float32 tensors of a folder by changed ones."""
    path = folder / "model.safetensors"
    header, data = parts(path)
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], "float32").reshape(entry["shape"])
    header, data = {}, b""
    for name, array in change(tensors).items():
        offsets = [len(data), len(data) + array.nbytes]
        shape, dtype = list(array.shape), CODES[str(array.dtype)]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        data += array.tobytes()
    path.write_bytes(joined(header, data))
