"""Options that differ by layer in published configs: kinds of attention, and values that repeat."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax_transformer.errors import UserError

FULL, SLIDING = "full_attention", "sliding_attention"


def layer_kinds(config: Mapping[str, Any], default: Sequence[str]) -> Sequence[str]:
    """Reads whether each layer attends to everything (FULL) or within a window (SLIDING).

    Args:
        config: theirs.
        default: their kinds if layer_types is missing.

    Raises:
        UserError: if a kind is unknown, or their number is not that of the layers.
    """
    kinds, number = config.get("layer_types") or default, config["num_hidden_layers"]
    if unknown := set(kinds) - {FULL, SLIDING}:
        raise UserError(
            f"layer_types has {', '.join(unknown)}, but only {FULL}, {SLIDING} are known"
        )
    if len(kinds) != number:
        raise UserError(f"layer_types has {len(kinds)} layers, num_hidden_layers {number}")
    return kinds


def shortest_period(values: Sequence[Any]) -> Any:
    """Returns the shortest tuple that gives the values of all layers if it repeats.

    Args:
        values: one of each layer.

    Returns:
        The tuple; if all values are equal, the value itself.

    Example:
        >>> shortest_period([3, 5, 3, 5]), shortest_period([3, 5, 5, 3]), shortest_period([3, 3])
        ((3, 5), (3, 5, 5), 3)
    """
    number = len(values)
    if len(set(values)) == 1:
        return values[0]
    periods = (tuple(values[:length]) for length in range(1, number + 1))
    return next(x for x in periods if all(values[i] == x[i % len(x)] for i in range(number)))
