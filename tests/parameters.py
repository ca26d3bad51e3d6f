from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def draw_parameters(module: nn.Module, *inputs: Any, **options: Any) -> Any:
    """Draws all variables of a module, also the biases and gains that begin as zeros and ones."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda key: module.init(key, *inputs, **options), jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, x.dtype), shapes)
