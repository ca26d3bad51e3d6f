"""Names of activations, and what their axes are.

The name of an activation is the path of its module and its own name, as in
`decoder.3.cross_attention.weights`: layers are numbered from 0, whether they run in a loop or in a
scan.
"""

import fnmatch
import re
from collections.abc import Iterable, Sequence

from flax_transformer.errors import UserError, unknown

_VECTORS = ("rows", "positions", "features")
_HEADS = ("rows", "positions", "heads", "features")
_WEIGHTS = ("rows", "heads", "positions", "keys")

# Axes of an activation by its own name, the last part. Positions of scores and weights are queries.
AXES: dict[str, tuple[str, ...]] = {
    "token_embedding": _VECTORS,
    "source_token_embedding": _VECTORS,
    "target_token_embedding": _VECTORS,
    "encoding": _VECTORS,
    "embedded": _VECTORS,
    "source_embedded": _VECTORS,
    "target_embedded": _VECTORS,
    "sublayer_input": _VECTORS,
    "queries": _HEADS,
    "keys": _HEADS,
    "values": _HEADS,
    "scores": _WEIGHTS,
    "weights": _WEIGHTS,
    "heads": _HEADS,
    "pre_activation": _VECTORS,
    "post_activation": _VECTORS,
    "router_logits": _VECTORS,
    "sublayer_output": _VECTORS,
    "residual": _VECTORS,
    "deviation": _VECTORS,
    "normalized": _VECTORS,
    "output": _VECTORS,
    "pooled": ("rows", "features"),
    "logits": _VECTORS,
}


def axes_of(name: str, rank: int) -> tuple[str, ...]:
    """Returns the names of the axes of an activation of some number of axes.

    A gated network's pre_activation has two halves; logits of classes have no positions.

    Example:
        >>> axes_of("decoder.3.self_attention.heads", 4)
        ('rows', 'positions', 'heads', 'features')
        >>> axes_of("logits", 2)
        ('rows', 'features')
    """
    axes = AXES[name.rpartition(".")[2]]
    if rank == len(axes) + 1:
        return (*axes[:-1], "halves", axes[-1])
    return axes if rank == len(axes) else (axes[0], axes[-1])


def name_of(path: Sequence[str]) -> str:
    """Makes the name of an activation from its path in the collection of a model.

    Example:
        >>> name_of(("image_encoder", "encoder_10", "attention", "weights"))
        'image_encoder.encoder.10.attention.weights'
    """
    return ".".join(re.sub(r"_(\d+)$", r".\1", part) for part in path)


def matching(names: str | Iterable[str], known: Iterable[str]) -> list[str]:
    """Returns the known names that match any of the given names or patterns, in their order.

    Args:
        names: names, or patterns in which * stands for any text and ? for one character.
        known: all names.

    Raises:
        UserError: if a name or a pattern matches nothing.

    Example:
        >>> known = ["decoder.0.self_attention.keys", "decoder.1.self_attention.keys", "logits"]
        >>> matching("decoder.1.*", known)
        ['decoder.1.self_attention.keys']
    """
    known = list(known)
    patterns = [names] if isinstance(names, str) else list(names)
    chosen: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(known, pattern)
        if not found:
            raise _nothing(pattern, known)
        chosen.update(found)
    return [name for name in known if name in chosen]


def _nothing(pattern: str, known: list[str]) -> UserError:
    if any(character in pattern for character in "*?["):
        return UserError(
            f"no activation matches {pattern!r}: `flax-transformer names` lists them, such as "
            f"{known[0]}"
        )
    # Of the many names only the nearest is shown.
    nearest = str(unknown("activation", pattern, known)).partition(" Known: ")[0]
    return UserError(nearest.partition("; known: ")[0])
