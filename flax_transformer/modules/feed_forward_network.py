"""The position-wise feed-forward network with its parameters."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.dropout import dropout_multiplier
from flax_transformer.functional.feed_forward import ACTIVATIONS, feed_forward

if TYPE_CHECKING:
    from flax_transformer.modules.layer_options import LayerOptions


class FeedForward(nn.Module):
    """Transforms every position by itself, see `functional.feed_forward`.

    activation(x W_1 + b_1) W_2 + b_2

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
        self.hidden = _Affine((options.d_model, *halves, options.d_ff), *others)
        self.output = _Affine((options.d_ff, options.d_model), *others)

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
        dropout, rate = None, self.options.feed_forward_dropout_rate
        if rate and not deterministic:
            shape = (*inputs.shape[:-1], self.options.d_ff)
            dropout = dropout_multiplier(self.make_rng("dropout"), rate, shape)
        return feed_forward(
            inputs.astype(self.options.dtype),
            *self.hidden(),
            *self.output(),
            activation=self.options.activation,
            dropout=dropout,
        )


class _Affine(nn.Module):
    """The kernel and the bias of a layer; each half of a gated layer is a matrix of its own."""

    shape: tuple[int, ...]
    use_bias: bool
    dtype: jax.typing.DTypeLike

    @nn.compact
    def __call__(self) -> tuple[Array, Array | None]:
        halves = tuple(range(1, len(self.shape) - 1))
        init = nn.initializers.xavier_uniform(in_axis=0, out_axis=-1, batch_axis=halves)
        kernel = self.param("kernel", init, self.shape, jnp.float32).astype(self.dtype)
        if not self.use_bias:
            return kernel, None
        bias = self.param("bias", nn.initializers.zeros, self.shape[1:], jnp.float32)
        return kernel, bias.astype(self.dtype)


def _experts(options: "LayerOptions") -> nn.Module:
    from flax_transformer.modules.expert_layer import Experts

    return Experts(options)


# Kinds of feed-forward networks: name -> module, called as `FeedForward` is.
FEED_FORWARDS: dict[str, Callable[["LayerOptions"], nn.Module]] = {
    "dense": FeedForward,
    "experts": _experts,
}
