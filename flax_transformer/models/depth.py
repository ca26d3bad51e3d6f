"""Layers one after the other: each compiled by itself, or one compiled and looped over."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from flax_transformer.functional.layout import Layout
from flax_transformer.models.model_config import LayerConfig
from flax_transformer.models.stacking import stack, unstack
from flax_transformer.modules.layers import EncoderLayer, Layer
from flax_transformer.modules.norms import NORMS

# Several layers, or one whose variables have a leading axis of layers.
Layers = Sequence[nn.Module] | nn.Module
# (layer, inputs, what is given to this layer) -> (outputs, what this layer gives besides)
Step = Callable[[Any, Array, Any], tuple[Array, Any]]


def make_layers(kind: type[Layer], config: LayerConfig, num_layers: int, **fields: Any) -> Layers:
    """Makes the layers of an encoder or a decoder, to be called in a model's `setup`.

    Args:
        kind: the class of the layers.
        config: of the model; `scan_layers` asks for one layer that stands for all.
        num_layers: how many there are.
        **fields: of this kind of layer alone.
    """
    fields |= config.layer_fields()
    if config.scan_layers:
        return kind(**fields)
    return [kind(**fields) for _ in range(num_layers)]


def make_last_norm(config: LayerConfig) -> nn.Module | None:
    """Makes what follows the last layer: pre-norm layers leave their sum unnormalised."""
    if config.norm_placement == "post":
        return None
    return NORMS[config.norm](config.norm_epsilon, config.dtype)


def pass_through(
    layers: Layers,
    step: Step,
    inputs: Float[Array, "rows length d_model"],
    given: Sequence[Any],
    *,
    remat: bool = False,
) -> tuple[Float[Array, "rows length d_model"], tuple[Any, ...]]:
    """Calls all layers, each with the outputs of the one before.

    x_i, result_i = step(layer_i, x_(i-1), given_i)

    Args:
        layers: from `make_layers`.
        step: calls one layer; it may refer to other arrays, which are the same for all layers.
        inputs: of the first layer.
        given: a pytree for each layer, or None for each.
        remat: compute each layer again in the backward pass instead of keeping its inside.

    Returns:
        The outputs of the last layer, and a pytree from each layer.
    """
    is_scanned = isinstance(layers, nn.Module)
    if remat:
        # Within a loop XLA cannot merge the second computation with the first.
        step = nn.remat(step, prevent_cse=not is_scanned)
    if is_scanned:
        return _scan(layers, step, inputs, given)
    results = []
    for layer, of_layer in zip(layers, given, strict=True):
        inputs, result = step(layer, inputs, of_layer)
        results.append(result)
    return inputs, tuple(results)


def pass_through_encoder(
    layers: Layers,
    last_norm: nn.Module | None,
    inputs: Float[Array, "rows length d_model"],
    layout: Layout,
    *,
    num_layers: int,
    remat: bool = False,
    deterministic: bool = True,
) -> Float[Array, "rows length d_model"]:
    """Calls all layers of an encoder, and its last norm if there is one.

    Args:
        layers: from `make_layers`, of `EncoderLayer`.
        last_norm: from `make_last_norm`.
        inputs: of the first layer.
        layout: of the inputs, the same for all layers.
        num_layers: how many there are.
        remat: see `pass_through`.
        deterministic: no dropout.
    """

    def step(layer: EncoderLayer, x: Array, _: None) -> tuple[Array, None]:
        return layer(x, layout, deterministic=deterministic), None

    x, _ = pass_through(layers, step, inputs, [None] * num_layers, remat=remat)
    return finish(last_norm, x, layout, deterministic)


def finish(
    last_norm: nn.Module | None,
    outputs: Float[Array, "rows length d_model"],
    layout: Layout,
    deterministic: bool,
) -> Float[Array, "rows length d_model"]:
    """Applies the last norm, if there is one, to the outputs of the last layer."""
    return outputs if last_norm is None else last_norm(outputs, layout.is_token, deterministic)


def _scan(layer: nn.Module, step: Step, inputs: Array, given: Sequence[Any]) -> Any:
    """Compiles one layer and loops over the leading axis of all its variables."""
    scan = nn.scan(step, variable_axes={True: 0}, split_rngs={True: True}, length=len(given))
    outputs, results = scan(layer, inputs, stack(given))
    # Outside, every layer's arrays stand alone, as they do without a scan. These copies cost a step
    # of cached decoding half its time or more: for that, unstack the variables.
    return outputs, tuple(unstack(results, len(given)))
