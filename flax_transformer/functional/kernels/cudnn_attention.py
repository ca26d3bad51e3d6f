"""Attention by the fused kernel of NVIDIA's cuDNN, which never writes the weights to memory."""

import jax
import jax.numpy as jnp
from jax.nn import dot_product_attention
from jaxtyping import Array, Bool, Float

_TYPES = ("bfloat16", "float16")
_USE_AUTO = "use implementation='auto'"


def cudnn_attend(
    query: Float[Array, "batch query_length heads head_dim"],
    key: Float[Array, "batch key_length key_value_heads head_dim"],
    value: Float[Array, "batch key_length key_value_heads value_dim"],
    *,
    mask: Bool[Array, "#batch #query_length #key_length"] | None = None,
    bias: Float[Array, "#batch heads query_length key_length"] | None = None,
    dropout: Float[Array, "batch heads query_length key_length"] | None = None,
    scale: float | None = None,
    cap: float | None = None,
) -> Float[Array, "batch query_length heads head_dim"]:
    """Computes `multi_head_attend` in one kernel.

    Raises:
        ValueError: if dropout, a soft cap, another type or other widths are asked for, or there is
            no such device.
    """
    if dropout is not None:
        raise ValueError(f"cudnn attention has no dropout of the weights: {_USE_AUTO}")
    if cap is not None:
        raise ValueError(f"cudnn attention has no soft cap: {_USE_AUTO}")
    _check(query, value)
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


def _check(query: Array, value: Array) -> None:
    if query.dtype not in _TYPES:
        raise ValueError(f"cudnn attention computes in {_TYPES}, not {query.dtype}: {_USE_AUTO}")
    if query.shape[-1] != value.shape[-1] or query.shape[-1] % 8:
        raise ValueError(
            f"cudnn attention needs head_dim = value_dim, a multiple of 8, not query "
            f"{query.shape} and value {value.shape}: {_USE_AUTO}"
        )
    # JAX asks the library of this machine for its version already while it traces.
    if not has_gpu():
        raise ValueError(f"cudnn attention needs an NVIDIA GPU, and there is none: {_USE_AUTO}")


def has_gpu() -> bool:
    """Whether this machine has a GPU."""
    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False
