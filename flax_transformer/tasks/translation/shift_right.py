"""What a decoder reads of the targets that it is to predict."""

import jax.numpy as jnp
from jaxtyping import Array, Int


def shift_right(
    target: Int[Array, "batch length"], segments: Int[Array, "batch length"], bos_id: int
) -> Int[Array, "batch length"]:
    """Makes the decoder's input of targets: each token's predecessor.

    Args:
        target: token ids.
        segments: number from 1 of the target that each token of a row belongs to; 0 for padding.
        bos_id: id of the begin mark, which precedes the first token of each segment.

    Returns:
        The token before each token.

    Example:
        >>> shift_right(jnp.array([[5, 7, 2, 6, 2]]), jnp.array([[1, 1, 1, 2, 2]]), 1).tolist()
        [[1, 5, 7, 1, 6]]
    """
    before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)))
    goes_on = jnp.pad(segments[:, 1:] == segments[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(goes_on, before, bos_id)
