"""Convolution over tokens with its parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.feed_forward import gelu
from flax_transformer.functional.projection import convolve


class TokenConvolution(nn.Module):
    """Mixes each token with its neighbors, see `functional.convolve`.

    gelu(convolve(x))

    Attributes:
        width: number of adjacent tokens that one output depends on.
        dtype: type of the computation; parameters are float32.

    Parameters:
        kernel [width, d_model, d_model] and bias [d_model].

    Reference:
        Kim 2014; Hassani et al. 2021, section 3.2.
    """

    width: int
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        segments: Int[Array, "batch length"] | None = None,
    ) -> Float[Array, "batch length d_model"]:
        """Mixes the tokens of each row.

        Args:
            inputs: one vector a token.
            segments: number from 1 of the text that each token belongs to, 0 for padding.
        """
        features = inputs.shape[-1]
        shape = (self.width, features, features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        inputs, kernel, bias = (array.astype(self.dtype) for array in (inputs, kernel, bias))
        return gelu(jax.vmap(convolve, (0, None, None, 0))(inputs, kernel, bias, segments))
