"""GGUF files of llama.cpp: metadata and tensors, read by the package gguf."""

import functools
import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.errors import UserError

SUFFIX = ".gguf"


class GgufFile(NamedTuple):
    """A file of which only the metadata is in memory.

    Attributes:
        path: of the file.
        fields: metadata by name, such as "llama.block_count".
        tensors: by name, as the package has them; their data are mapped into memory.
    """

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, Any]

    def field(self, name: str, kind: type) -> Any:
        """Returns a field of a type; None if it is not there.

        Raises:
            UserError: if it has another type.
        """
        value = self.fields.get(name)
        if value is not None and type(value) is not kind:
            raise UserError(f"{self.path} has {name} {value!r:.40}: it is damaged, get it again")
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of a tensor; the file has the last axis first."""
        return tuple(int(size) for size in reversed(self.tensors[name].shape))

    def numbers(self, name: str) -> np.ndarray:
        """Returns a tensor in float32.

        Raises:
            UserError: if its type is unknown.
        """
        tensor = self.tensors[name]
        quants = importlib.import_module("gguf.quants")
        try:
            return quants.dequantize(tensor.data, tensor.tensor_type).reshape(self.shape(name))
        except NotImplementedError:
            raise UserError(
                f"{self.path}: tensor {name} has the type {tensor.tensor_type.name}, which the "
                "package gguf does not read: get a file of type Q4_K, Q6_K, Q8_0 or F16"
            ) from None


def read_gguf(path: Path) -> GgufFile:
    """Reads the metadata of a file; the last one is kept.

    Raises:
        UserError: if the package gguf is not installed, or the file is damaged.
    """
    status = path.stat()
    return _read(path, (status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _read(path: Path, version: tuple[int, int]) -> GgufFile:
    del version  # a changed file is read again
    try:
        # An optional dependency that a type checker may not find.
        reader_class = importlib.import_module("gguf").GGUFReader
    except ImportError:
        raise UserError(
            f"{path} is read by the package gguf, which is not installed: run pip install "
            "'flax_transformer[gguf]'"
        ) from None
    try:
        reader = reader_class(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
    except Exception as error:  # of the package or of NumPy, whatever is damaged
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"{path} is not a whole GGUF file ({reason}): get it again") from error
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if len(tensors) < len(reader.tensors):
        raise UserError(f"{path} has a tensor twice: get it again")
    return GgufFile(path, fields, tensors)
