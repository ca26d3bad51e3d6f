"""What an optimizer reads from the path of a parameter: whether it decays, and its layer."""

from typing import Any

import jax
import numpy as np

from flax_transformer.models.stacking import LAYER_NAME, SIDES

Path = tuple[str, ...]
# Of a token embedding, what only the logits read: it belongs to the head.
_OF_LOGITS = (("embedding", "logits_table"), ("embedding", "bias"))


def names_of(path: Any) -> Path:
    """The names along a key path of JAX: of modules, and last of the parameter."""
    return tuple(jax.tree_util.keystr(path, simple=True, separator="/").split("/"))


def is_stacked(path: Path) -> bool:
    """Whether a parameter's leading axis is that of layers, see `models.stack_layers`."""
    return any(name in SIDES for name in path)


def decay_mask(params: Any) -> Any:
    """Tells which parameters weight decay makes smaller: matrices that are multiplied with inputs.

    That is, those of rank 2 or more, an axis of stacked layers not counted, but for biases (named
    bias; those of a head or of half a gated layer have rank 2) and for tables of positions (in a
    module whose name ends with positions, or named scheme_table). So the scales of norms and a
    class token, which are vectors, stay as they are; tables of tokens decay.

    Args:
        params: of a model, arrays or their shapes.

    Returns:
        True or False for each.

    Example:
        >>> dense = {"kernel": np.zeros((3, 2, 5)), "bias": np.zeros((2, 5))}
        >>> decay_mask({"query": dense, "positions": {"table": np.zeros((7, 3))}})
        {'positions': {'table': False}, 'query': {'bias': False, 'kernel': True}}

    Reference:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; that biases and norms
        are left out, Devlin et al. 2019 (in their code); tables of positions and class tokens,
        Touvron et al. 2021, "Training data-efficient image transformers" (in theirs).
    """

    def decays(key_path: Any, leaf: Any) -> bool:
        path = names_of(key_path)
        is_table = path[-1] == "scheme_table" or (path[-2:-1] and path[-2].endswith("positions"))
        return not is_table and path[-1] != "bias" and len(leaf.shape) - is_stacked(path) >= 2

    return jax.tree_util.tree_map_with_path(decays, params)


def layers_above(params: Any) -> Any:
    """Counts, for each parameter, the layers from its own to the head, its own included.

    Of n layers, i = 0, 1, ..., n - 1: n - i for layer i, n + 1 for embeddings, 0 for the rest, as
    the last norm, a pooler or a classifier. With the numbers of BEiT, where embeddings are layer 0
    and the head is layer N = n + 1, it is N minus the number. Embeddings are whatever has
    embedding in a name, tables of positions and class tokens, but for the own table and the bias
    of logits, which are of the head.

    Each stack of layers counts by itself: an encoder's last layer has 1 as a decoder's has.
    Embeddings belong to the deepest stack of the smallest part of the model that holds both them
    and a stack; so an encoder-decoder's common ones count from the deeper of the two.

    Args:
        params: of a model, arrays or their shapes.

    Returns:
        A number for each parameter; of stacked layers an array [num_layers, 1, ...].

    Raises:
        ValueError: if there are no layers.

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
    """The number of layers of each stack, by its path."""
    sizes: dict[Path, int] = {}
    for key_path, leaf in jax.tree_util.tree_leaves_with_path(params):
        stack, index = _layer_of(names_of(key_path))
        if stack:
            number = leaf.shape[0] if index is None else index + 1
            sizes[stack] = max(number, sizes.get(stack, 0))
    return sizes


def _layer_of(path: Path) -> tuple[Path, int | None]:
    """The path of the stack that a parameter is in, () if in none, and the number of its layer.

    That is None where the parameter is that of all layers.
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
    """Layers of the deepest stack in the smallest part of the model that has one."""
    parts = (path[:depth] for depth in reversed(range(len(path))))
    beside = ([sizes[stack] for stack in sizes if stack[: len(part)] == part] for part in parts)
    return max(next(filter(None, beside)))
