"""Normalisations as modules: parameters, and the running statistics of batch normalisation."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.normalization import (
    batch_norm,
    batch_statistics,
    layer_norm,
    rms_norm,
)

# Share of the running statistics that stays when those of a batch are taken in.
MOMENTUM = 0.9


class LayerNorm(nn.Module):
    """Gives every vector mean 0 and variance 1, see `functional.layer_norm`.

    Attributes:
        epsilon: added to the variance.
        dtype: type of the result; statistics and parameters are float32.

    Parameters:
        scale and bias [d_model].

    Reference:
        Ba et al. 2016.
    """

    epsilon: float = 1e-6
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Normalises every token by itself, in training as afterwards."""
        wide, width = _widen(inputs, self.dtype), inputs.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, width, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, width, jnp.float32)
        return layer_norm(wide, scale, bias, epsilon=self.epsilon).astype(self.dtype)


class RMSNorm(nn.Module):
    """Gives every vector a mean square of 1, see `functional.rms_norm`.

    Attributes:
        epsilon: added to the mean square.
        dtype: type of the result; statistics and parameters are float32.

    Parameters:
        scale [d_model].

    Reference:
        Zhang and Sennrich 2019.
    """

    epsilon: float = 1e-6
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Normalises every token by itself, in training as afterwards."""
        scale = self.param("scale", nn.initializers.ones, inputs.shape[-1:], jnp.float32)
        wide = _widen(inputs, self.dtype)
        return rms_norm(wide, scale, epsilon=self.epsilon).astype(self.dtype)


class BatchNorm(nn.Module):
    """Gives every feature mean 0 and variance 1 over the tokens of a batch.

    In training it normalises by the batch's own statistics, so that a token's output depends on
    all others, later ones included; afterwards by running statistics:

    running = 0.9 running + 0.1 batch,  from mean 0 and variance 1

    On several devices each normalises by the tokens of its own part of the batch.

    Attributes:
        epsilon: added to the variance.
        dtype: type of the result; statistics and parameters are float32.

    Parameters:
        scale and bias [d_model]; in the collection "batch_stats" mean and variance [d_model].

    Reference:
        Ioffe and Szegedy 2015.
    """

    epsilon: float = 1e-6
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Normalises every feature.

        Args:
            inputs: vectors of tokens and padding.
            is_token: False for padding, which does not enter the statistics; None: all are tokens.
            deterministic: use the running statistics; else the batch's, which also enter the
                running ones, so the collection "batch_stats" must be mutable in `apply`.

        Returns:
            The normalised vectors.
        """
        wide, width = _widen(inputs, self.dtype), inputs.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, width, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, width, jnp.float32)
        running = (
            self.variable("batch_stats", "mean", jnp.zeros, width, jnp.float32),
            self.variable("batch_stats", "variance", jnp.ones, width, jnp.float32),
        )
        mean, variance = (variable.value for variable in running)
        if not deterministic:
            mean, variance = batch_statistics(wide, is_token)
            if not self.is_initializing():
                # A device whose rows are all padding has learned nothing.
                has_tokens = True if is_token is None else jnp.any(is_token)
                share = jnp.where(has_tokens, 1 - MOMENTUM, 0.0)
                for variable, new in zip(running, (mean, variance), strict=True):
                    variable.value += (share * (new - variable.value)).astype(jnp.float32)
        normalised = batch_norm(wide, mean, variance, scale, bias, epsilon=self.epsilon)
        return normalised.astype(self.dtype)


def _widen(inputs: Array, dtype: jax.typing.DTypeLike) -> Array:
    """Never rounds before normalising; the result alone is of the computation's type."""
    return inputs.astype(jnp.promote_types(inputs.dtype, dtype))


NORMS: dict[str, type[nn.Module]] = {"layer": LayerNorm, "rms": RMSNorm, "batch": BatchNorm}
