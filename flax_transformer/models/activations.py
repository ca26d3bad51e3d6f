"""Every named activation of a model, in one call."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
from flax.traverse_util import flatten_dict
from jaxtyping import Array, PRNGKeyArray, Shaped

from flax_transformer.models.stacking import unstack_layers
from flax_transformer.modules.observe import ACTIVATIONS


def activations(
    model: Any,
    variables: Mapping[str, Any],
    *inputs: Shaped[Array, "batch ..."],
    dropout_rng: PRNGKeyArray | None = None,
    **options: Any,
) -> dict[str, Shaped[Array, "..."]]:
    """Computes every named activation while a model reads its inputs.

    Each is named by the path of its module and its own name, such as
    "decoder_3/self_attention/weights"; for all names see `modules.observe` and the modules. The
    layers of a model with `scan_layers` are looped over, so that each has its number. To replace
    an activation, give `model.apply` the collection "patches", see `modules.observe`.

    Args:
        model: a model of this package, with or without `scan_layers`.
        variables: of the model.
        *inputs: what the model is called with.
        dropout_rng: random key of the dropout, for a pass as in training; None: deterministic.
        **options: the model's other arguments, such as segments.

    Returns:
        Path and name -> activation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> activations(model, variables, tokens)["decoder_1/self_attention/queries"].shape
        (1, 4, 3, 2)
    """
    model, variables = looped(model, variables)
    _, stored = model.apply(
        variables,
        *inputs,
        **options,
        deterministic=dropout_rng is None,
        rngs=None if dropout_rng is None else {"dropout": dropout_rng},
        # In training, batch normalization writes its statistics, which are not kept here.
        mutable=[ACTIVATIONS, *(name for name in variables if name != "params")],
    )
    by_path: Any = flatten_dict(stored[ACTIVATIONS], sep="/")
    return by_path


def looped(model: Any, variables: Mapping[str, Any]) -> tuple[nn.Module, Mapping[str, Any]]:
    """Gives the same model without `scan_layers`, and its variables."""
    if not model.config.scan_layers:
        return model, variables
    config = dataclasses.replace(model.config, scan_layers=False)
    return model.clone(config=config), unstack_layers(variables)
