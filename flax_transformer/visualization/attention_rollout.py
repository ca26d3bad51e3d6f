"""How attention multiplies through layers."""

import numpy as np
from jaxtyping import Float


def attention_rollout(
    weights: Float[np.ndarray, "layers heads length length"],
) -> Float[np.ndarray, "layers length length"]:
    """Multiplies the attention of successive layers, which sums over all paths through them.

    R_l = A_l R_(l-1),  R_0 = I,  A_l = (mean over heads of W_l) + I, each row divided by its sum

    The identity stands for the residual connection, with the same weight as attention.

    Args:
        weights: self-attention of one example, first layer first.

    Returns:
        The share of each input position for each layer: [layer, position, input position]; rows sum
        to 1.

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
