"""Attention to look at, drawn at random."""

import numpy as np


def random_weights(*shape: int, sharpness: float = 1.0) -> np.ndarray:
    """The softmax of normal scores [..., keys], in float32."""
    scores = np.random.default_rng(0).normal(size=shape, scale=sharpness).astype(np.float32)
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
