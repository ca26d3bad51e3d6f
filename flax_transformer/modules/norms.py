"""Normalizations, dropout, and the residual connections that contain them."""

from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.array_types import along_last_axes
from flax_transformer.functional.dropout import dropout_multiplier
from flax_transformer.functional.normalization import (
    batch_norm,
    batch_statistics,
    layer_norm,
    rms_norm,
    root_mean_square,
)
from flax_transformer.modules.observe import is_observed, observe

if TYPE_CHECKING:
    from flax_transformer.modules.layer_options import LayerOptions

# Share of the old running statistics that is kept when those of a batch are added.
MOMENTUM = 0.9


class Dropout(nn.Module):
    """Drops elements of its input in training, see `functional.dropout_multiplier`.

    Attributes:
        rate: share of elements dropped.
    """

    rate: float

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."], deterministic: bool) -> Float[Array, "..."]:
        """Multiplies the inputs by random factors, or returns them as they are."""
        factors = dropout_factors(self, self.rate, inputs.shape, deterministic)
        return inputs if factors is None else inputs * factors.astype(inputs.dtype)


def dropout_factors(
    module: nn.Module, rate: float, shape: tuple[int, ...], deterministic: bool
) -> Float[Array, "..."] | None:
    """Draws the factors of dropout with a module's key "dropout"; None without dropout."""
    if deterministic or not rate:
        return None
    return dropout_multiplier(module.make_rng("dropout"), rate, shape)


class Norm(nn.Module):
    """The base class of all normalizations.

    Observed, see `observe`: output; and, except in batch normalization, deviation, the divisor of
    each vector, and normalized, the quotient before scale and bias.

    Attributes:
        epsilon: added to the variance or mean square.
        dtype: type of the result; statistics and parameters are float32.
        use_bias: whether a bias is added; `RMSNorm` has none.

    Parameters:
        scale [d_model], and bias [d_model] if there is one.
    """

    epsilon: float = 1e-6
    dtype: jax.typing.DTypeLike = "float32"
    use_bias: bool = True

    def _widened(self, inputs: Array) -> Array:
        """Widens inputs first: only the normalized result has the computation's type."""
        return inputs.astype(jnp.promote_types(inputs.dtype, self.dtype))

    def _scale(self, inputs: Array) -> Array:
        return self.param("scale", nn.initializers.ones, inputs.shape[-1:], jnp.float32)

    def _bias(self, inputs: Array) -> Array | None:
        if not self.use_bias:
            return None
        return self.param("bias", nn.initializers.zeros, inputs.shape[-1:], jnp.float32)

    def _step_by_step(self, centered: Array, scale: Array, bias: Array | None) -> Array:
        """Computes the formula with activations that can be replaced."""
        deviation = observe(self, "deviation", root_mean_square(centered, self.epsilon))
        normalized = observe(self, "normalized", centered / deviation)
        scaled = normalized * along_last_axes(scale.astype(centered.dtype), centered.ndim)
        if bias is None:
            return scaled
        return scaled + along_last_axes(bias.astype(centered.dtype), centered.ndim)


class LayerNorm(Norm):
    """Normalizes every vector to mean 0 and variance 1, see `functional.layer_norm`.

    Attributes and parameters are those of `Norm`.

    Reference:
        Ba et al. 2016.
    """

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Normalizes every token independently, both in training and afterwards."""
        wide, scale, bias = self._widened(inputs), self._scale(inputs), self._bias(inputs)
        if is_observed(self, "deviation", "normalized"):
            centered = wide - jnp.mean(wide, axis=-1, keepdims=True)
            normalized = self._step_by_step(centered, scale, bias)
        else:
            normalized = layer_norm(wide, scale, bias, epsilon=self.epsilon)
        return observe(self, "output", normalized.astype(self.dtype))


class RMSNorm(Norm):
    """Normalizes every vector to a mean square of 1, see `functional.rms_norm`.

    Attributes and parameters are those of `Norm`, without a bias.

    Reference:
        Zhang and Sennrich 2019.
    """

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Normalizes every token independently, both in training and afterwards."""
        wide, scale = self._widened(inputs), self._scale(inputs)
        if is_observed(self, "deviation", "normalized"):
            normalized = self._step_by_step(wide, scale, None)
        else:
            normalized = rms_norm(wide, scale, epsilon=self.epsilon)
        return observe(self, "output", normalized.astype(self.dtype))


class RMSNormPlusOne(RMSNorm):
    """The same with the factor 1 + scale: weight decay draws factors to 1.

    Attributes and parameters are those of `RMSNorm`; the scale begins as zeros.

    Reference:
        Gemma Team 2024, "Gemma".
    """

    def _scale(self, inputs: Array) -> Array:
        scale = self.param("scale", nn.initializers.zeros, inputs.shape[-1:], jnp.float32)
        # In float32, even where parameters have 16 bits.
        return 1 + scale.astype(jnp.float32)


class BatchNorm(Norm):
    """Normalizes every feature to mean 0 and variance 1 over the tokens of a batch.

    In training it uses the batch's statistics, so a token's output depends on all others, later
    ones included. Afterwards it uses running statistics:

    running = 0.9 running + 0.1 batch,  from mean 0 and variance 1

    In trainings, several devices use the tokens of the whole batch, or of a whole micro-batch.
    Attributes and parameters are those of `Norm`; in the collection "batch_stats" are mean and
    variance [d_model].

    Reference:
        Ioffe and Szegedy 2015.
    """

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Normalizes every feature.

        Args:
            inputs: vectors of tokens and padding.
            is_token: False for padding, which the statistics ignore; None: all are tokens.
            deterministic: use the running statistics; else the batch's, which also update the
                running ones, so the collection "batch_stats" must be mutable in `apply`.

        Returns:
            The normalized vectors.
        """
        wide, scale, bias = self._widened(inputs), self._scale(inputs), self._bias(inputs)
        running = (
            self.variable("batch_stats", "mean", jnp.zeros, scale.shape, jnp.float32),
            self.variable("batch_stats", "variance", jnp.ones, scale.shape, jnp.float32),
        )
        mean, variance = (variable.value for variable in running)
        if not deterministic:
            mean, variance = batch_statistics(wide, is_token)
            if not self.is_initializing():
                # A device with only padding has no statistics to add.
                has_tokens = True if is_token is None else jnp.any(is_token)
                share = jnp.where(has_tokens, 1 - MOMENTUM, 0.0)
                for variable, new in zip(running, (mean, variance), strict=True):
                    variable.value += (share * (new - variable.value)).astype(jnp.float32)
        normalized = batch_norm(wide, mean, variance, scale, bias, epsilon=self.epsilon)
        return observe(self, "output", normalized.astype(self.dtype))


# Normalizations: name -> module of (epsilon, dtype, use_bias), called as `LayerNorm` is.
NORMS: dict[str, type[Norm]] = {
    "layer": LayerNorm,
    "rms": RMSNorm,
    "rms_plus_one": RMSNormPlusOne,
    "batch": BatchNorm,
}


class Residual(nn.Module):
    """The normalization and dropout of a residual connection around a sublayer f.

    post: norm(x + dropout(f(x)))
    pre:  x + dropout(f(norm(x)))
    both: x + dropout(norm_2(f(norm(x))))

    That is, `after(x, f(before(x)))`. Observed, see `observe`: sublayer_input, sublayer_output and
    residual, the sum.

    Attributes:
        options: norm, norm_placement, norm_epsilon, norm_bias, residual_dropout_rate and dtype are
            read.
        normalizes_input: pre and both: whether f reads norm(x); else it reads x.

    Parameters:
        normalize/scale [d_model], and normalize/bias [d_model] if the normalization has one; the
        same of normalize_output if there are both.

    Reference:
        Vaswani et al. 2017, sections 3.1 and 5.4 (post); Xiong et al. 2020 (pre); Gemma Team 2024,
        "Gemma 2", section 2 (both).
    """

    options: "LayerOptions"
    normalizes_input: bool = True

    def setup(self) -> None:
        """Creates the normalizations."""
        self.normalize = make_norm(self.options)
        if self.options.norm_placement == "both":
            self.normalize_output = make_norm(self.options)
        self.dropout = Dropout(self.options.residual_dropout_rate)

    def before(
        self,
        inputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Returns the input of the sublayer.

        Args:
            inputs: of the connection.
            is_token: False at padding, which batch normalization leaves out.
            deterministic: running statistics in batch normalization.
        """
        if self.options.norm_placement != "post" and self.normalizes_input:
            inputs = self.normalize(inputs, is_token, deterministic)
        return observe(self, "sublayer_input", inputs)

    def after(
        self,
        inputs: Float[Array, "batch length d_model"],
        outputs: Float[Array, "batch length d_model"],
        is_token: Bool[Array, "batch length"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Adds the outputs of the sublayer to the inputs.

        Args:
            inputs: of the connection.
            outputs: of the sublayer.
            is_token: see `before`.
            deterministic: likewise, and no dropout.
        """
        outputs = observe(self, "sublayer_output", outputs)
        if self.options.norm_placement == "both":
            outputs = self.normalize_output(outputs, is_token, deterministic)
        x = inputs + self.dropout(outputs, deterministic)
        if self.options.norm_placement == "post":
            x = self.normalize(x, is_token, deterministic)
        return observe(self, "residual", x)


def make_norm(options: "LayerOptions") -> nn.Module:
    """Makes the normalization that the options name."""
    return NORMS[options.norm](options.norm_epsilon, options.dtype, options.norm_bias)
