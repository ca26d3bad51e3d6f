"""The position-wise feed-forward network."""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from flax_transformer.modules.dropout import Dropout


class FeedForward(nn.Module):
    """Transforms every position by itself.

    relu(x W_1 + b_1) W_2 + b_2

    Attributes:
        d_model: width of input and output.
        d_ff: width of the hidden layer.
        dropout_rate: share of hidden units dropped in training.
        dtype: type of the computation; parameters are float32.

    Parameters:
        hidden [d_model, d_ff] and [d_ff], output [d_ff, d_model] and [d_model].

    Reference:
        Vaswani et al. 2017, section 3.3.
    """

    d_model: int
    d_ff: int
    dropout_rate: float = 0.0
    dtype: jax.typing.DTypeLike = "float32"

    def setup(self) -> None:
        """Creates the two layers."""
        init = nn.initializers.xavier_uniform()
        self.hidden = nn.Dense(self.d_ff, dtype=self.dtype, kernel_init=init)
        self.output = nn.Dense(self.d_model, dtype=self.dtype, kernel_init=init)
        self.dropout = Dropout(self.dropout_rate)

    def __call__(
        self, inputs: Float[Array, "*batch d_model"], *, deterministic: bool = True
    ) -> Float[Array, "*batch d_model"]:
        """Transforms the last axis of the inputs."""
        return self.output(self.dropout(nn.relu(self.hidden(inputs)), deterministic))
