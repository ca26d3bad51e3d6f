"""The parameters of an affine map."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Affine(nn.Module):
    """Holds the kernel and the bias of an affine map, for functions that apply them.

    Attributes:
        outputs: shape of what one vector becomes.
        num_matrices: how many matrices of their own, each drawn by itself, the first axis of the
            outputs numbers; 1 if it numbers none.
        use_bias: whether there is a bias, zero at first.
        dtype: type of the computation; parameters are float32.

    Parameters:
        kernel [*inputs, *outputs], and bias [*outputs].
    """

    outputs: tuple[int, ...]
    num_matrices: int = 1
    use_bias: bool = True
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(self, *inputs: int) -> tuple[Array, Array | None]:
        """Gives the kernel and, if there is one, the bias, in the type of the computation.

        Args:
            *inputs: shape of one vector.
        """
        shape = (*inputs, *self.outputs)
        axes = list(range(len(shape)))
        matrices = [axes.pop(len(inputs))] if self.num_matrices > 1 else []
        init = nn.initializers.xavier_uniform(axes[: len(inputs)], axes[len(inputs) :], matrices)
        kernel = self.param("kernel", init, shape, jnp.float32).astype(self.dtype)
        if not self.use_bias:
            return kernel, None
        bias = self.param("bias", nn.initializers.zeros, self.outputs, jnp.float32)
        return kernel, bias.astype(self.dtype)
