"""The layers of an encoder or a decoder in sequence: in a Python loop, or scanned."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.errors import UserError
from flax_transformer.functional.cache import Cache, Written, check_room, lineage_mask
from flax_transformer.functional.layout import Layout, lay_out_cached
from flax_transformer.modules.layer_options import LayerOptions, ModelConfig, TransformerConfig
from flax_transformer.modules.layers import EncoderLayer
from flax_transformer.modules.multi_head_attention import PositionTable
from flax_transformer.modules.norms import make_norm
from flax_transformer.modules.observe import Remat, recompute_layer
from flax_transformer.modules.token_embedding import (
    PositionalEmbedding,
    TokenEmbedding,
    table_deviation,
)

Kind = Callable[[LayerOptions], nn.Module]
# Several layers, or one layer; its variables then have a leading axis of layers.
Layers = Sequence[nn.Module] | nn.Module
# (layer, inputs, arguments of this layer) -> (outputs, further result of this layer)
Step = Callable[[Any, Array, Any], tuple[Array, Any]]
# The layouts by the window of a layer's attention.
Layouts = Mapping[Any, Layout]


class Period(nn.Module):
    """Adjacent layers with different options; a scan runs through them repeatedly.

    Attributes:
        kind: makes a layer.
        options: options of each layer.
    """

    kind: Kind
    options: tuple[LayerOptions, ...]

    def setup(self) -> None:
        """Creates the layers."""
        self.layers = [self.kind(options) for options in self.options]


def make_layers(kind: Kind, config: ModelConfig, num_layers: int) -> Layers:
    """Makes the layers of an encoder or a decoder; to be called in a model's `setup`.

    Args:
        kind: makes a layer from its options.
        config: config of the model; with `scan_layers`, one layer is made for all, or one period of
            layers if options differ by layer.
        num_layers: number of layers.

    Raises:
        UserError: if the layers are scanned, but are not a multiple of the period.
    """
    period = config.period()
    if not config.scan_layers:
        return [kind(config.of_layer(i)) for i in range(num_layers)]
    if num_layers % period:
        raise UserError(
            f"--model.scan-layers needs layers that are a multiple of {period}, after which the "
            f"options of layers begin again, not {num_layers}: change one"
        )
    if period == 1:
        return kind(config.of_layer())
    return Period(kind, tuple(config.of_layer(i) for i in range(period)))


def make_last_norm(config: ModelConfig) -> nn.Module | None:
    """Makes the norm after the last layer; post-norm layers need none."""
    return None if config.norm_placement == "post" else make_norm(config)


def make_position_table(config: ModelConfig) -> nn.Module | None:
    """Makes the table of positions that all layers of a stack share, if they use one."""
    return PositionTable(config) if config.share_position_table else None


def make_embedding(config: TransformerConfig, vocab_size: int) -> TokenEmbedding:
    """Makes the module that embeds tokens and computes logits."""
    return TokenEmbedding(
        vocab_size,
        config.d_model,
        config.embedding_scaling,
        config.dtype,
        config.tied_logits,
        config.logits_bias,
        config.logits_soft_cap,
    )


def make_positions(config: TransformerConfig) -> PositionalEmbedding:
    """Makes the module that adds positions to the embeddings of tokens."""
    deviation = table_deviation(config.embedding_scaling)
    return PositionalEmbedding(
        config.embedded_positions(), config.max_positions, deviation, config.position_offset or 0
    )


def lay_out_windows(config: ModelConfig, lay_out: Callable[..., Layout]) -> Layouts:
    """Lays out tokens for every window that a layer's attention has.

    Args:
        config: config of the model.
        lay_out: makes the layout of a given `window`.
    """
    windows = [config.of_layer(i).attention_window for i in range(config.period())]
    return {window: lay_out(window=window) for window in dict.fromkeys(windows)}


def any_of(layouts: Layouts) -> Layout:
    """Returns any layout, for reading values that are the same for all windows."""
    return next(iter(layouts.values()))


def all_one(
    tokens: Int[Array, "batch length"], segments: Int[Array, "batch length"] | None
) -> Int[Array, "batch length"]:
    """Returns the given segments of tokens, or else one segment for each row without padding."""
    return jnp.ones(tokens.shape, jnp.int32) if segments is None else segments


def pass_through(
    layers: Layers,
    step: Step,
    inputs: Float[Array, "rows length d_model"],
    given: Sequence[Any],
    *,
    remat: Remat = "none",
) -> tuple[Float[Array, "rows length d_model"], tuple[Any, ...]]:
    """Calls all layers, each with the outputs of the previous one.

    x_i, result_i = step(layer_i, x_(i-1), given_i)

    Args:
        layers: layers from `make_layers`.
        step: calls one layer; it may use other arrays, which are the same for all layers.
        inputs: inputs of the first layer.
        given: a pytree for each layer, or None for each.
        remat: which activations of a layer the backward pass computes again.

    Returns:
        The outputs of the last layer, and a pytree from each layer.
    """
    is_scanned = isinstance(layers, nn.Module)
    step = recompute_layer(step, remat, is_scanned=is_scanned)
    if not is_scanned:
        return _loop(layers, step, inputs, given)
    period = len(layers.options) if isinstance(layers, Period) else 1
    given = [tuple(given[i : i + period]) for i in range(0, len(given), period)]

    def body(layers: nn.Module, x: Array, given: Any) -> tuple[Array, Any]:
        return _loop(layers.layers if isinstance(layers, Period) else [layers], step, x, given)

    scan = nn.scan(body, variable_axes={True: 0}, split_rngs={True: True}, length=len(given))
    outputs, results = scan(layers, inputs, stack(given))
    # Outside, every layer's arrays are separate, as without a scan. These copies take half of the
    # time of a cached decoding step or more. To avoid them, unstack the variables.
    return outputs, tuple(result for of_all in unstack(results, len(given)) for result in of_all)


def _loop(layers: Sequence[Any], step: Step, x: Array, given: Sequence[Any]) -> Any:
    results = []
    for layer, of_layer in zip(layers, given, strict=True):
        x, result = step(layer, x, of_layer)
        results.append(result)
    return x, tuple(results)


def encode_whole(
    model: Any,
    inputs: Float[Array, "batch length d_model"],
    layouts: Layouts,
    num_layers: int,
    deterministic: bool,
) -> Float[Array, "batch length d_model"]:
    """Passes whole sequences through the encoder of a model.

    Args:
        model: model with an encoder, encoder_positions and encoder_norm.
        inputs: inputs of the first layer.
        layouts: layouts of the inputs.
        num_layers: number of encoder layers.
        deterministic: disables dropout.
    """
    table = model.encoder_positions and model.encoder_positions()
    options = {"position_table": table, "deterministic": deterministic}

    def step(layer: EncoderLayer, x: Array, _: None) -> tuple[Array, None]:
        return layer(x, layouts[layer.options.attention_window], **options), None

    given = [None] * num_layers
    x, _ = pass_through(model.encoder, step, inputs, given, remat=model.config.remat)
    return finish(model.encoder_norm, x, any_of(layouts), deterministic)


def finish(
    last_norm: nn.Module | None,
    outputs: Float[Array, "rows length d_model"],
    layout: Layout,
    deterministic: bool,
) -> Float[Array, "rows length d_model"]:
    """Applies the last norm, if the model has one, to the outputs of the last layer."""
    return outputs if last_norm is None else last_norm(outputs, layout.is_token, deterministic)


def stack(trees: Sequence[Any]) -> Any:
    """Stacks pytrees with the same structure along a new leading axis of their arrays.

    Example:
        >>> stack([jnp.zeros(3), jnp.ones(3)]).shape
        (2, 3)
    """
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def unstack(tree: Any, number: int) -> list[Any]:
    """Splits a pytree that `stack` made of `number` pytrees.

    Example:
        >>> [leaf.tolist() for leaf in unstack(jnp.array([3, 5]), 2)]
        [3, 5]
    """
    return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(number)]


def make_cache(
    config: ModelConfig, num_layers: int, batch: int, capacity: int, context: object = None
) -> Cache:
    """Makes an empty cache.

    Args:
        config: config of the model.
        num_layers: number of layers that write keys and values.
        batch: number of examples.
        capacity: maximum number of positions of each example.
        context: see `functional.Cache`.

    Returns:
        A cache of zeros; its history marks the places with tokens.
    """
    heads = config.num_key_value_heads or config.num_heads
    key_dim, value_dim = config.head_dims()
    room = Written(
        jnp.zeros((batch, heads, key_dim, capacity), config.dtype),
        jnp.zeros((batch, heads, capacity, value_dim), config.dtype),
    )
    is_token = jnp.zeros((batch, capacity), bool)
    return Cache(jnp.int32(0), is_token, context, (room,) * num_layers)


def lay_out_next(
    config: ModelConfig,
    tokens: Int[Array, "rows new_length"],
    is_token: Bool[Array, "rows new_length"] | None,
    cache: Cache,
) -> tuple[Cache, Layouts]:
    """Adds the next tokens to the history, and lays them out after all previous tokens.

    Args:
        config: config of the model.
        tokens: the next token ids of each row.
        is_token: False for padding; None: all are tokens.
        cache: cache from `make_cache` or from the previous call.

    Returns:
        The cache and the layouts. The cache's history includes the new tokens; its length and its
        written keys and values are still the old ones, as the layers need them. After hypotheses
        have moved, the layouts' masks are those of `lineage_mask`.

    Raises:
        ValueError: see `functional.cache.check_room`.
    """
    rows, new_length = tokens.shape
    check_room(cache, new_length)
    is_token = jnp.ones(tokens.shape, bool) if is_token is None else is_token
    history = jax.lax.dynamic_update_slice_in_dim(cache.history, is_token, cache.length, axis=1)

    def lay_out(window: int | None) -> Layout:
        layout = lay_out_cached(history, cache.length, new_length, window=window)
        if cache.lineage is None:
            return layout
        batch = cache.written[0].value.shape[0]
        assert layout.mask is not None
        mask = lineage_mask(layout.mask, cache.lineage, rows // batch)
        return layout._replace(mask=mask)

    return cache._replace(history=history), lay_out_windows(config, lay_out)
