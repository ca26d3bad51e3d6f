"""Attention over several layers at once: how much of each input reaches each position."""

import numpy as np
from jaxtyping import Float


def attention_rollout(
    weights: Float[np.ndarray, "layers heads length length"],
) -> Float[np.ndarray, "layers length length"]:
    """Multiplies the attention of layers, so that paths through all of them are followed.

    R_l = A_l R_(l-1),  R_0 = I,  A_l = (mean over heads of W_l) + I, each row divided by its sum

    The identity stands for the residual connection, which passes on as much as attention does.

    Args:
        weights: self-attention of one example, from the first layer on.

    Returns:
        For each layer, the share [position after this layer, input position]; rows sum to 1.

    Example:
        >>> swap = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> attention_rollout(swap[None, None])[0].tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Reference:
        Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3.
    """
    identity = np.eye(weights.shape[-1], dtype=weights.dtype)
    rolled, rolls = identity, []
    for mean in weights.mean(axis=1):
        passed = mean + identity
        rolled = passed / passed.sum(axis=-1, keepdims=True) @ rolled
        rolls.append(rolled)
    return np.stack(rolls)
