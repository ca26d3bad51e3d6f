"""The parameters of an affine map."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array


class Affine(nn.Module):
    """Holds the kernel and the bias of an affine map, for functions that apply them.

    Attributes:
        shape: of the kernel, inputs first.
        num_axes: how many of its axes are inputs.
        kernel_init: draws the kernel.
        use_bias: whether there is a bias, zero at first, of the outputs' shape.
        dtype: type of the computation; parameters are float32.

    Parameters:
        kernel [*inputs, *outputs], and bias [*outputs].
    """

    shape: tuple[int, ...]
    kernel_init: nn.initializers.Initializer
    num_axes: int = 1
    use_bias: bool = True
    dtype: jax.typing.DTypeLike = "float32"

    @nn.compact
    def __call__(self) -> tuple[Array, Array | None]:
        """Gives the kernel, and the bias if there is one, in the type of the computation."""
        kernel = self.param("kernel", self.kernel_init, self.shape, jnp.float32)
        if not self.use_bias:
            return kernel.astype(self.dtype), None
        shape = self.shape[self.num_axes :]
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        return kernel.astype(self.dtype), bias.astype(self.dtype)
