"""The layers of a model, found by the names of its activations."""

import re
from collections.abc import Iterable

from flax_transformer.errors import unknown

_LAST_OF_LAYER = re.compile(r"(.*)\.(\d+)\.feed_forward_residual\.residual")


def layer_outputs(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns the names of the outputs of the layers of each stack, in order.

    Example:
        >>> names = [f"{side}.{i}.feed_forward_residual.residual" for side in "ab" for i in (0, 1)]
        >>> {stack: len(outputs) for stack, outputs in layer_outputs(names).items()}
        {'a': 2, 'b': 2}
    """
    stacks: dict[str, dict[int, str]] = {}
    for name in names:
        if match := _LAST_OF_LAYER.fullmatch(name):
            stacks.setdefault(match[1], {})[int(match[2])] = name
    return {stack: [found[i] for i in sorted(found)] for stack, found in stacks.items()}


def last_stack(names: Iterable[str]) -> str:
    """Returns the stack whose output the head of the model reads.

    Example:
        >>> names = ["encoder", "decoder"]
        >>> last_stack(f"{side}.0.feed_forward_residual.residual" for side in names)
        'decoder'
    """
    stacks = list(layer_outputs(names))
    # Of a translator and of a factorized video encoder; others have one stack.
    ranks = {"decoder": 1, "time_encoder.encoder": 1}
    return max(stacks, key=lambda stack: ranks.get(stack, 0))


def checked_stack(stack: str | None, names: Iterable[str]) -> str:
    """Returns a stack, by default the last one.

    Raises:
        UserError: if the model lacks this stack.
    """
    names = list(names)
    known = layer_outputs(names)
    if stack is None:
        return last_stack(names)
    if stack not in known:
        raise unknown("stack of layers", stack, known)
    return stack
