"""The one place through which every named activation of a model passes."""

import flax.linen as nn
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Shaped

ACTIVATIONS, PATCHES = "activations", "patches"  # collections


def observe(module: nn.Module, name: str, value: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Lets an activation be looked at or replaced from outside; else it only passes through.

    In the collection "activations", if it is mutable in `apply`, the value is stored under the
    module's path and the name. In the collection "patches" a pair (values, selector) under the same
    path and name replaces it where the boolean selector is True. And the name is one for
    `jax.checkpoint_policies`, such as `save_only_these_names("residual")`.

    Args:
        module: whose activation it is.
        name: of the activation, which no submodule of this module has.
        value: the activation.

    Returns:
        The value, or what a patch makes of it.

    Example:
        >>> import numpy as np
        >>> class Double(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x):
        ...         return observe(self, "doubled", 2 * x)
        >>> Double().apply({}, jnp.array(3), mutable="activations")[1]["activations"]["doubled"]
        Array(6, dtype=int32, weak_type=True)
        >>> patch = (np.array([0, 7]), np.array([False, True]))
        >>> Double().apply({"patches": {"doubled": patch}}, jnp.array([3, 4])).tolist()
        [6, 7]
    """
    value = checkpoint_name(value, name)
    if module.has_variable(PATCHES, name):
        values, selector = module.get_variable(PATCHES, name)
        value = jnp.where(selector, jnp.asarray(values, value.dtype), value)
    if _is_collected(module):
        # A module that is called again overwrites what it stored.
        module.sow(ACTIVATIONS, name, value, lambda _, new: new, lambda: value)
    return value


def is_observed(module: nn.Module, *names: str) -> bool:
    """Whether anyone looks at an activation of these names, or replaces one."""
    return _is_collected(module) or any(module.has_variable(PATCHES, name) for name in names)


def _is_collected(module: nn.Module) -> bool:
    # At initialization every collection is mutable, but variables shall hold parameters only.
    return module.is_mutable_collection(ACTIVATIONS) and not module.is_initializing()
