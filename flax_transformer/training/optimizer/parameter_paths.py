"""Properties of a parameter that follow from its path: its axes, weight decay and layer."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from flax_transformer.models.stacking import LAYER_NAME, SIDES

Path = tuple[str, ...]
Shape = tuple[int, ...]
KERNEL = "kernel"
# The parameters of a token embedding that only the logits use: they belong to the head.
_OF_LOGITS = (("embedding", "logits_table"), ("embedding", "bias"))


def names_of(path: Any) -> Path:
    """Returns the names along a JAX key path: modules, and finally the parameter."""
    return tuple(jax.tree_util.keystr(path, simple=True, separator="/").split("/"))


def is_stacked(path: Path) -> bool:
    """Whether a parameter's leading axis is that of layers, see `models.stack_layers`."""
    return any(name in SIDES for name in path)


def is_of_experts(path: Path, params: Mapping[Path, Any]) -> bool:
    """Whether a kernel holds the matrices of all experts."""
    return path[-2] != "router" and (*path[:-2], "router", KERNEL) in params


def kernel_axes(path: Path, params: Mapping[Path, Any]) -> tuple[Shape, Shape, Shape]:
    """Returns the lengths of the axes of a kernel: of layers and experts, of inputs, of outputs.

    Args:
        path: of the kernel.
        params: all parameters by their paths.
    """
    shape = params[path].shape
    first = is_stacked(path) + is_of_experts(path, params)
    last = first + _num_inputs(path)
    return shape[:first], shape[first:last], shape[last:]


def _num_inputs(path: Path) -> int:
    """Returns the number of axes of a kernel that its inputs have."""
    *_, part, module, _ = ("", *path)
    # The heads and their vectors; the places of a convolution and the vectors there.
    is_of_heads = module == "output" and part.endswith("attention")
    return 2 if is_of_heads or module.endswith("convolution") else 1


def decay_mask(params: Any) -> Any:
    """Selects the parameters for weight decay: matrices that are multiplied with inputs.

    These have rank 2 or more, without counting an axis of stacked layers. Biases (named bias; those
    of a head or of half a gated layer have rank 2) and tables of positions (in a module whose name
    ends with positions, or named scheme_table) are excluded. Scales of norms and a class token are
    vectors, so they do not decay; tables of tokens decay.

    Args:
        params: parameters of a model, arrays or their shapes.

    Returns:
        True or False for each parameter.

    Example:
        >>> dense = {"kernel": np.zeros((3, 2, 5)), "bias": np.zeros((2, 5))}
        >>> decay_mask({"query": dense, "positions": {"table": np.zeros((7, 3))}})
        {'positions': {'table': False}, 'query': {'bias': False, 'kernel': True}}

    Reference:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; Devlin et al. 2019
        (their code excludes biases and norms); Touvron et al. 2021, "Training data-efficient image
        transformers" (their code excludes tables of positions and class tokens).
    """

    def decays(key_path: Any, leaf: Any) -> bool:
        path = names_of(key_path)
        is_table = path[-1] == "scheme_table" or (path[-2:-1] and path[-2].endswith("positions"))
        return not is_table and path[-1] != "bias" and len(leaf.shape) - is_stacked(path) >= 2

    return jax.tree_util.tree_map_with_path(decays, params)


def layers_above(params: Any) -> Any:
    """Counts, for each parameter, the layers from its own to the head, including its own.

    Of n layers, i = 0, 1, ..., n - 1: n - i for layer i, n + 1 for embeddings, 0 for the rest, such
    as the last norm, a pooler or a classifier. In BEiT's numbering, embeddings are layer 0 and the
    head is layer N = n + 1; the result is N minus that number. Embeddings are all parameters with
    embedding in a name, tables of positions and class tokens. The separate table and the bias of
    logits belong to the head.

    Each stack of layers is counted separately: the last layer of both an encoder and a decoder has
    1. Embeddings belong to the deepest stack of the smallest part of the model that contains both
    them and a stack. The shared embeddings of an encoder-decoder therefore count from the deeper
    stack.

    Args:
        params: parameters of a model, arrays or their shapes.

    Returns:
        A number for each parameter; for stacked layers an array [num_layers, 1, ...].

    Raises:
        ValueError: if the model has no layers.

    Example:
        >>> x = np.zeros(3)
        >>> layers_above({"class_token": x, "encoder_0": x, "encoder_1": x, "encoder_norm": x})
        {'class_token': 3, 'encoder_0': 2, 'encoder_1': 1, 'encoder_norm': 0}

    Reference:
        Bao et al. 2022, "BEiT: BERT Pre-Training of Image Transformers", appendix H; Clark et al.
        2020, "ELECTRA", appendix B.
    """
    sizes = _stack_sizes(params)
    if not sizes:
        raise ValueError("no layers encoder_0 or decoder_0 to tell the depth of parameters by")

    def above(key_path: Any, leaf: Any) -> Any:
        path = names_of(key_path)
        stack, index = _layer_of(path)
        if not stack:
            return _deepest_beside(path, sizes) + 1 if _is_embedding(path) else 0
        if index is not None:
            return sizes[stack] - index
        return np.arange(sizes[stack], 0, -1).reshape(-1, *[1] * (len(leaf.shape) - 1))

    return jax.tree_util.tree_map_with_path(above, params)


def _stack_sizes(params: Any) -> dict[Path, int]:
    """Returns the number of layers of each stack, by its path."""
    sizes: dict[Path, int] = {}
    for key_path, leaf in jax.tree_util.tree_leaves_with_path(params):
        stack, index = _layer_of(names_of(key_path))
        if stack:
            number = leaf.shape[0] if index is None else index + 1
            sizes[stack] = max(number, sizes.get(stack, 0))
    return sizes


def _layer_of(path: Path) -> tuple[Path, int | None]:
    """Returns the path of a parameter's stack, () without one, and the number of its layer.

    The number is None if the parameter contains all layers.
    """
    for depth, name in enumerate(path):
        if name in SIDES:
            return path[: depth + 1], None
        if LAYER_NAME.fullmatch(name):
            side, _, index = name.rpartition("_")
            return (*path[:depth], side), int(index)
    return (), None


def _is_embedding(path: Path) -> bool:
    return path[-2:] not in _OF_LOGITS and any(
        "embedding" in name or name.endswith("positions") or name == "class_token" for name in path
    )


def _deepest_beside(path: Path, sizes: dict[Path, int]) -> int:
    """Returns the layers of the deepest stack in the smallest part of the model that has one."""
    parts = (path[:depth] for depth in reversed(range(len(path))))
    beside = ([sizes[stack] for stack in sizes if stack[: len(part)] == part] for part in parts)
    return max(next(filter(None, beside)))
