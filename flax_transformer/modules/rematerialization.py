"""Which activations the backward pass computes again instead of keeping them."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax

# From the most memory and the least time to the opposite.
Remat = Literal["none", "attention", "dots", "all"]

# What a recomputed layer keeps; its inputs are always kept.
POLICIES: dict[str, Callable[..., bool]] = {
    # By name: JAX's policies of products do not find those whose form depends on the platform.
    "dots": jax.checkpoint_policies.save_only_these_names("product"),
    "all": jax.checkpoint_policies.nothing_saveable,
}


def recompute_layer(layer: Callable, remat: Remat, *, is_scanned: bool) -> Callable:
    """Makes a layer whose activations are computed again in the backward pass.

    Args:
        layer: a function of a module and of arrays.
        remat: `dots` keeps the products of activations and weights, `all` keeps nothing; otherwise
            the layer is returned unchanged.
        is_scanned: whether the layer is the body of a scan.
    """
    if remat not in POLICIES:
        return layer
    # In a loop XLA cannot merge the second computation with the first.
    return nn.remat(layer, prevent_cse=not is_scanned, policy=POLICIES[remat])


def recompute_attention(attend: Callable, remat: Remat) -> Callable:
    """Makes an attention whose scores, weights and dropout are computed again, with `attention`.

    Their size is the square of the length, but they take few operations.

    Args:
        attend: a function of a module and of arrays.
        remat: with any other value, the function is returned unchanged.

    Reference:
        Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models",
        section 5.
    """
    return nn.remat(attend) if remat == "attention" else attend
