"""Dropout as a module: it only supplies the random key."""

import flax.linen as nn
from jaxtyping import Array, Float

from flax_transformer.functional.dropout import dropout_multiplier


class Dropout(nn.Module):
    """Drops elements of its input in training, see `functional.dropout_multiplier`.

    Attributes:
        rate: share of elements dropped.
    """

    rate: float

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."], deterministic: bool) -> Float[Array, "..."]:
        """Multiplies the inputs by random factors, or returns them as they are."""
        if deterministic or not self.rate:
            return inputs
        factors = dropout_multiplier(self.make_rng("dropout"), self.rate, inputs.shape)
        return inputs * factors.astype(inputs.dtype)
