"""Gradients with respect to activations, and attribution patching."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_transformer.inspection.activations import (
    Inputs,
    Method,
    activation_shapes,
    activations,
    run_with,
)
from flax_transformer.inspection.names import axes_of, matching

# From the outputs of a model to one number, such as the difference of two logits.
Metric: TypeAlias = Callable[[Any], Float[Array, ""]]


def gradients(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    metric: Metric,
    names: str | Iterable[str] = "*",
    *,
    method: Method = "__call__",
) -> dict[str, Float[Array, "..."]]:
    """Computes the gradient of a number with respect to activations, all in one backward pass.

    d metric(outputs) / d activation

    Args:
        model: see `activations`.
        variables: of the model.
        inputs: of the model.
        metric: computes a scalar from the outputs.
        names: names or patterns of activations.
        method: of the model.

    Returns:
        Name -> gradient, in the shape of the activation.

    Raises:
        UserError: if a name matches no activation.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> found = gradients(model, variables, tokens, lambda logits: logits[0, -1, 5], "logits")
        >>> found["logits"][0, -1].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    """
    shapes = activation_shapes(model, variables, inputs, method=method)
    zeros = {name: jnp.zeros_like(shapes[name]) for name in matching(names, shapes)}

    def total(added: dict[str, Array]) -> Float[Array, ""]:
        patch = {name: jax.tree_util.Partial(jnp.add, x) for name, x in added.items()}
        return metric(run_with(model, variables, inputs, patch, method=method))

    return jax.grad(total)(zeros)


def attribution_patching(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    others: Inputs,
    metric: Metric,
    names: str | Iterable[str] = "*",
    *,
    method: Method = "__call__",
) -> dict[str, Float[Array, "..."]]:
    """Estimates how a number changes if an activation comes from other inputs, for all at once.

    sum over features of (activation(others) - activation(inputs)) * gradient(inputs)

    It is the first order of the Taylor series of activation patching (`run_with`), in two forward
    passes and a backward one instead of one pass for each activation. It is exact where the number
    depends linearly on the activation.

    Args:
        model: see `activations`.
        variables: of the model.
        inputs: of the model.
        others: inputs of the same shapes, from which activations are carried over.
        metric: computes a scalar from the outputs.
        names: names or patterns of activations.
        method: of the model.

    Returns:
        Name -> estimate for each row, position and head; of scores and weights, for each entry.

    Raises:
        UserError: if a name matches no activation.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> metric = lambda logits: logits[0, -1, 5]
        >>> found = attribution_patching(model, variables, tokens, tokens + 1, metric, "*.heads")
        >>> {name: value.shape for name, value in found.items()}["decoder.1.self_attention.heads"]
        (1, 4, 3)

    Reference:
        Syed et al. 2023, "Attribution Patching Outperforms Automated Circuit Discovery".
    """
    slopes = gradients(model, variables, inputs, metric, names, method=method)
    here = activations(model, variables, inputs, names, method=method)
    there = activations(model, variables, others, names, method=method)
    return {
        name: _over_features(name, (there[name] - here[name]) * slopes[name]) for name in slopes
    }


def _over_features(name: str, product: Array) -> Array:
    """Sums over the axes of one vector."""
    axes = axes_of(name, product.ndim)
    summed = tuple(i for i, axis in enumerate(axes) if axis in ("features", "halves"))
    return jnp.sum(product, axis=summed)
