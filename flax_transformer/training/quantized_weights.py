"""Weights of 8 bits for a trained model that is only used."""

from collections.abc import Mapping
from typing import Any, Literal

from flax.traverse_util import flatten_dict, unflatten_dict

from flax_transformer.functional.quantization import EightBitArray, quantize
from flax_transformer.training.optimizer.parameter_paths import (
    KERNEL,
    Path,
    is_of_experts,
    kernel_axes,
)

UseType = Literal["float32", "bfloat16", "int8"]  # of a trained model
EIGHT_BITS = "int8"
# Modules that multiply by `functional.project`.
_PROJECTIONS = {"query", "key", "value", "hidden", "output"}
_TABLES = {("embedding", "table"), ("embedding", "logits_table")}


def quantize_weights(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Rounds the weights that generation reads in every step to 8 bits.

    These are the kernels of attention and of feed-forward networks, with a scale for each output,
    and the tables of tokens, with a scale for each token. All other parameters, also the kernels of
    experts, classifiers and convolutions, are unchanged.

    Args:
        variables: of a model.

    Returns:
        The variables, with an `EightBitArray` for each rounded parameter. The model takes them as
        they are. They have no gradients.
    """
    flat: Any = flatten_dict(variables["params"])
    rounded = {path: _rounded(path, flat) for path in flat}
    return {**variables, "params": unflatten_dict(rounded)}


def _rounded(path: Path, params: Mapping[Path, Any]) -> Any | EightBitArray:
    array = params[path]
    if path[-2:] in _TABLES:
        return quantize(array, axis=-1)
    if path[-1] != KERNEL or path[-2] not in _PROJECTIONS or is_of_experts(path, params):
        return array
    layers, inputs, _ = kernel_axes(path, params)
    return quantize(array, axis=tuple(range(len(layers), len(layers) + len(inputs))))
