"""The position-wise feed-forward network with its parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_transformer.functional.dropout import dropout_multiplier
from flax_transformer.functional.feed_forward import ACTIVATIONS, feed_forward


class FeedForward(nn.Module):
    """Transforms every position by itself, see `functional.feed_forward`.

    activation(x W_1 + b_1) W_2 + b_2

    Attributes:
        d_model: width of input and output.
        d_ff: width of the hidden layer.
        activation: a name in `functional.ACTIVATIONS`.
        dropout_rate: share of hidden units dropped in training.
        dtype: type of the computation; parameters are float32.

    Parameters:
        hidden/kernel [d_model, d_ff], hidden/bias [d_ff], output/kernel [d_ff, d_model] and
        output/bias [d_model]; a gated activation has two hidden halves, the gate first:
        hidden/kernel [d_model, 2, d_ff], hidden/bias [2, d_ff].

    Reference:
        Vaswani et al. 2017, section 3.3; Shazeer 2020 (gated).
    """

    d_model: int
    d_ff: int
    activation: str = "relu"
    dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the parameters of the two layers."""
        if self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"no activation {self.activation!r}: known are {known}")
        halves = (2,) if ACTIVATIONS[self.activation].is_gated else ()
        self.hidden = _Affine((self.d_model, *halves, self.d_ff), self.dtype)
        self.output = _Affine((self.d_ff, self.d_model), self.dtype)

    def __call__(
        self, inputs: Float[Array, "*batch d_model"], *, deterministic: bool = True
    ) -> Float[Array, "*batch d_model"]:
        """Transforms the last axis of the inputs."""
        dropout = None
        if self.dropout_rate and not deterministic:
            shape = (*inputs.shape[:-1], self.d_ff)
            dropout = dropout_multiplier(self.make_rng("dropout"), self.dropout_rate, shape)
        return feed_forward(
            inputs.astype(self.dtype),
            *self.hidden(),
            *self.output(),
            activation=self.activation,
            dropout=dropout,
        )


class _Affine(nn.Module):
    """The kernel and the bias of a layer; each half of a gated layer is a matrix of its own."""

    shape: tuple[int, ...]
    dtype: jax.typing.DTypeLike

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        halves = tuple(range(1, len(self.shape) - 1))
        init = nn.initializers.xavier_uniform(in_axis=0, out_axis=-1, batch_axis=halves)
        kernel = self.param("kernel", init, self.shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, self.shape[1:], jnp.float32)
        return kernel.astype(self.dtype), bias.astype(self.dtype)
