"""Direct logit attribution: the part of each head and feed-forward network in a logit."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.inspection.activations import (
    Inputs,
    activation_shapes,
    activations,
    run_with,
)
from flax_transformer.inspection.layer_names import last_stack
from flax_transformer.inspection.names import axes_of
from flax_transformer.models.stacking import looped

REST = "rest"  # biases, class tokens and embeddings of sentences


def logit_attribution(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    targets: Int[Array, "..."],
    others: Int[Array, "..."] | None = None,
) -> dict[str, Float[Array, "..."]]:
    """Splits logits into the parts that embeddings, heads and feed-forward networks add directly.

    The residual stream is a sum, and a norm with a given deviation is an affine function. So a
    logit is a sum of one part for each component, and a rest from biases. Parts that reach the
    logit through other components count as parts of those.

    Args:
        model: with logits that are affine in the hidden state: an encoder-decoder, a decoder or a
            classifier of images or videos.
        variables: of the model.
        inputs: of the model.
        targets: ids of tokens [batch, length], or of classes [batch], whose logits are split.
        others: ids whose logits are subtracted; None: nothing is subtracted.

    Returns:
        Name -> part. For logits of tokens: of heads [batch, length, heads], of others [batch,
        length]. For logits of classes, the same by the position from which the part comes. "rest"
        is shaped as the targets. The sum of all parts is the logit, before a soft cap.

    Raises:
        ValueError: if the head of the model is not affine.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=1)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> parts = logit_attribution(model, variables, tokens, tokens)
        >>> {name: part.shape for name, part in parts.items()}
        {'token_embedding': (1, 4), 'positions.encoding': (1, 4), \
'decoder.0.self_attention.heads': (1, 4, 3), \
'decoder.0.feed_forward_residual.sublayer_output': (1, 4), 'rest': (1, 4)}

    Reference:
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022,
        "Interpretability in the Wild", section 3.
    """
    model, variables = _without_cap(*looped(model, variables))
    if model.config.gives == "vectors":
        raise ValueError("logits of an encoder-only model are not affine in its hidden state")
    names = list(activation_shapes(model, variables, inputs))
    components = _components(names)
    deviations = [name for name in names if name.endswith(".deviation")]
    found = activations(model, variables, inputs, [*components, *deviations])
    constant = {name: found[name] for name in deviations}

    def chosen(parts: dict[str, Array]) -> Float[Array, "..."]:
        logits = run_with(model, variables, inputs, {**parts, **constant})
        of_targets = _logits_of(logits, targets)
        return of_targets if others is None else of_targets - _logits_of(logits, others)

    given = {name: found[name] for name in components}
    slopes = jax.grad(lambda parts: jnp.sum(chosen(parts)))(given)
    parts = {name: _part(name, given[name] * slopes[name]) for name in components}
    return parts | {REST: chosen(jax.tree.map(jnp.zeros_like, given))}


def _components(names: Iterable[str]) -> list[str]:
    """The activations that are added to the residual stream from which logits are computed."""
    names = list(names)
    stack = last_stack(names)
    layer = rf"{re.escape(stack)}\.\d+\.(?:\w*attention\.heads|feed_forward_residual\.\w*output)"
    found = [name for name in names if re.fullmatch(layer, name)]
    return [*_embeddings(stack, names), *found]


def _embeddings(stack: str, names: list[str]) -> list[str]:
    """The embeddings of tokens and of positions, or of patches with both."""
    part = stack.rpartition(".")[0]
    prefix = f"{part}." if part else ""
    side = "target_" if "target_token_embedding" in names else ""
    if f"{side}token_embedding" not in names:
        return [f"{prefix}embedded"]
    positions = f"{side}positions.encoding"
    return [f"{side}token_embedding", *[name for name in names if name == positions]]


def _without_cap(model: Any, variables: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    if getattr(model.config, "logits_soft_cap", None) is None:
        return model, variables
    config = dataclasses.replace(model.config, logits_soft_cap=None)
    return model.clone(config=config), variables


def _logits_of(logits: Array, ids: Array) -> Array:
    return jnp.take_along_axis(logits, ids[..., None], axis=-1)[..., 0]


def _part(name: str, product: Array) -> Array:
    summed = [i for i, axis in enumerate(axes_of(name, product.ndim)) if axis == "features"]
    return jnp.sum(product, axis=tuple(summed))
