"""The position-wise feed-forward network with its parameters."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.feed_forward import ACTIVATIONS, affine, feed_forward
from flax_transformer.functional.quantization import EightBitArray
from flax_transformer.modules.norms import dropout_factors
from flax_transformer.modules.observe import is_observed, observe

if TYPE_CHECKING:
    from flax_transformer.modules.layer_options import LayerOptions


class FeedForward(nn.Module):
    """Transforms every position independently, see `functional.feed_forward`.

    activation(x W_1 + b_1) W_2 + b_2

    Observed, see `observe`: pre_activation, the argument of the activation function, and
    post_activation, its result after dropout.

    Attributes:
        options: d_model, d_ff, activation, feed_forward_bias, feed_forward_dropout_rate and dtype
            are read.

    Parameters:
        hidden/kernel [d_model, d_ff], hidden/bias [d_ff], output/kernel [d_ff, d_model] and
        output/bias [d_model]; a gated activation has two hidden halves, the gate first:
        hidden/kernel [d_model, 2, d_ff], hidden/bias [2, d_ff].

    Reference:
        Vaswani et al. 2017, section 3.3; Shazeer 2020 (gated).
    """

    options: "LayerOptions"

    def setup(self) -> None:
        """Creates the parameters of the two layers."""
        options = self.options
        halves = (2,) if ACTIVATIONS[options.activation].is_gated else ()
        others = (options.feed_forward_bias, options.dtype)
        self.hidden = Affine((options.d_model, *halves, options.d_ff), *others)
        self.output = Affine((options.d_ff, options.d_model), *others)

    def __call__(
        self,
        inputs: Float[Array, "*batch d_model"],
        is_token: Bool[Array, "*batch"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "*batch d_model"]:
        """Transforms the last axis of the inputs.

        Args:
            inputs: one vector a position.
            is_token: False at padding; other kinds of networks read it.
            deterministic: no dropout.
        """
        options, shape = self.options, (*inputs.shape[:-1], self.options.d_ff)
        dropout = dropout_factors(self, options.feed_forward_dropout_rate, shape, deterministic)
        inputs = inputs.astype(options.dtype)
        if is_observed(self, "pre_activation", "post_activation"):
            return self._step_by_step(inputs, dropout)
        return feed_forward(
            inputs,
            *self.hidden(),
            *self.output(),
            activation=options.activation,
            dropout=dropout,
        )

    def _step_by_step(self, inputs: Array, dropout: Array | None) -> Array:
        """Computes the formula with hidden vectors that can be seen and replaced."""
        hidden = observe(self, "pre_activation", affine(inputs, *self.hidden()))
        activated = ACTIVATIONS[self.options.activation].function(hidden)
        if dropout is not None:
            activated = activated * dropout.astype(activated.dtype)
        return affine(observe(self, "post_activation", activated), *self.output())


class Affine(nn.Module):
    """The kernel and the bias of a layer, or of one layer of every expert.

    Attributes:
        shape: of the kernel; the last axis is that of the outputs. Axes other than those of inputs
            and outputs count matrices: experts, or the halves of a gated layer.
        use_bias: whether there is a bias.
        dtype: of the computation.
        in_axis: axis of the inputs.
    """

    shape: tuple[int, ...]
    use_bias: bool
    dtype: jax.typing.DTypeLike
    in_axis: int = 0

    @nn.compact
    def __call__(self) -> tuple[Array | EightBitArray, Array | None]:
        """Returns both in the type of the computation."""
        matrices = tuple(axis for axis in range(len(self.shape) - 1) if axis != self.in_axis)
        init = nn.initializers.xavier_uniform(self.in_axis, -1, batch_axis=matrices)
        kernel = self.param("kernel", init, self.shape, jnp.float32).astype(self.dtype)
        if not self.use_bias:
            return kernel, None
        shape = self.shape[: self.in_axis] + self.shape[self.in_axis + 1 :]
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        return kernel, bias.astype(self.dtype)


def _experts(options: "LayerOptions") -> nn.Module:
    from flax_transformer.modules.expert_layer import Experts

    return Experts(options)


# Kinds of feed-forward networks: name -> module, called as `FeedForward` is.
FEED_FORWARDS: dict[str, Callable[["LayerOptions"], nn.Module]] = {
    "dense": FeedForward,
    "experts": _experts,
}
