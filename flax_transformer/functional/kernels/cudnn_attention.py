"""Attention by the fused kernel of NVIDIA's cuDNN, which never writes the weights to memory."""

import jax
import jax.numpy as jnp
from jax.nn import dot_product_attention
from jaxtyping import Array, Bool, Float

_TYPES = ("bfloat16", "float16")
USE_AUTO = "use implementation='auto'"


def cudnn_attend(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads head_dim"],
    mask: Bool[Array, "#batch #query_length #key_length"] | None,
    bias: Float[Array, "#batch heads query_length key_length"] | None,
    scale: float | None = None,
) -> Float[Array, "batch query_length heads head_dim"]:
    """Computes what `multi_head_attend` does, in one kernel."""
    output = dot_product_attention(
        query,
        key,
        value,
        None if bias is None else bias.astype(query.dtype),
        None if mask is None else mask[:, None],
        scale=scale,
        implementation="cudnn",
    )
    if mask is None:
        return output
    # The kernel averages all values for a query that may attend to nothing; `attend` gives zeros.
    return jnp.where(mask.any(axis=-1)[..., None, None], output, 0)


def check_cudnn_request(
    query: Float[Array, "batch query_length heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    has_dropout: bool,
    return_weights: bool,
) -> None:
    """Refuses what the kernel cannot do.

    Raises:
        ValueError: if weights, dropout, another type or other widths are asked for, or there is
            no such device.
    """
    if return_weights:
        raise ValueError(f"cudnn attention never holds the weights to return them: {USE_AUTO}")
    if has_dropout:
        raise ValueError(f"cudnn attention has no dropout of the weights: {USE_AUTO}")
    if query.dtype not in _TYPES:
        raise ValueError(f"cudnn attention computes in {_TYPES}, not {query.dtype}: {USE_AUTO}")
    if query.shape[-1] != value.shape[-1] or query.shape[-1] % 8:
        raise ValueError(
            f"cudnn attention needs head_dim = value_dim, a multiple of 8, not query "
            f"{query.shape} and value {value.shape}: {USE_AUTO}"
        )
    if jax.default_backend() != "gpu":
        raise ValueError(
            f"cudnn attention needs an NVIDIA GPU, not {jax.default_backend()}: {USE_AUTO}"
        )
