"""Activations of a model: named by `observe`, kept for the backward pass or computed again."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Shaped

from flax_transformer.functional.kernels.rows_on_mesh import keep_rows

ACTIVATIONS, PATCHES, UNASKED = "activations", "patches", "unasked"  # collections
# From the most memory and the least time to the opposite.
Remat = Literal["none", "attention", "dots", "all"]

# What a recomputed layer keeps; its inputs are always kept.
_POLICIES: dict[str, Callable[..., bool]] = {
    # By name: JAX's policies of products do not find those whose form depends on the platform.
    "dots": jax.checkpoint_policies.save_only_these_names("product"),
    "all": jax.checkpoint_policies.nothing_saveable,
}


def observe(module: nn.Module, name: str, value: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Makes an activation readable and replaceable from outside; otherwise returns it unchanged.

    If the collection "activations" is mutable in `apply`, the value is stored there under the
    module's path and the name, unless the collection "unasked" has an entry under the same path and
    name. A function in the collection "patches", likewise, computes the value that replaces it: a
    `jax.tree_util.Partial`, whose arguments may be arrays. The name can also be used in
    `jax.checkpoint_policies`, such as `save_only_these_names("residual")`. On a mesh of devices,
    the rows of the value stay where the rows of the batch are. `flax_transformer.inspection` has
    the functions for users.

    Args:
        module: the module of the activation.
        name: of the activation; no submodule of this module may have it.
        value: the activation.

    Returns:
        The value, patched if there is a patch.

    Raises:
        ValueError: if a patch gives another shape.

    Example:
        >>> class Double(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x):
        ...         return observe(self, "doubled", 2 * x)
        >>> Double().apply({}, jnp.array(3), mutable="activations")[1]["activations"]["doubled"]
        Array(6, dtype=int32, weak_type=True)
        >>> patch = jax.tree_util.Partial(lambda value: value.at[1].set(7))
        >>> Double().apply({"patches": {"doubled": patch}}, jnp.array([3, 4])).tolist()
        [6, 7]
    """
    value = checkpoint_name(keep_rows(value), name)
    if module.has_variable(PATCHES, name):
        patched = jnp.asarray(module.get_variable(PATCHES, name)(value), value.dtype)
        if patched.shape != value.shape:
            raise ValueError(f"a patch of {name} gives {patched.shape}, but must {value.shape}")
        value = patched
    if _is_collected(module, name):
        # A module that is called again overwrites what it stored.
        module.sow(ACTIVATIONS, name, value, lambda _, new: new, lambda: value)
    return value


def is_observed(module: nn.Module, *names: str) -> bool:
    """Whether an activation of these names is stored or replaced."""
    return any(_is_collected(module, name) or module.has_variable(PATCHES, name) for name in names)


def recompute_layer(layer: Callable, remat: Remat, *, is_scanned: bool) -> Callable:
    """Makes a layer whose activations are computed again in the backward pass.

    Args:
        layer: a function of a module and of arrays.
        remat: `dots` keeps the products of activations and weights, `all` keeps nothing; otherwise
            the layer is returned unchanged.
        is_scanned: whether the layer is the body of a scan.
    """
    if remat not in _POLICIES:
        return layer
    # In a loop XLA cannot merge the second computation with the first.
    return nn.remat(layer, prevent_cse=not is_scanned, policy=_POLICIES[remat])


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


def _is_collected(module: nn.Module, name: str) -> bool:
    # At initialization every collection is mutable, but variables must hold only parameters.
    if module.is_initializing() or not module.is_mutable_collection(ACTIVATIONS):
        return False
    return not module.has_variable(UNASKED, name)
