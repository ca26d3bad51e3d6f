"""Options by layer, a table that layers share, and what published models do to embeddings."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close, layer_norm

from flax_transformer.errors import UserError
from flax_transformer.functional import lay_out
from flax_transformer.models import (
    DecoderOnlyConfig,
    EncoderDecoderConfig,
    EncoderOnlyConfig,
    stack_layers,
    unstack_layers,
)
from flax_transformer.modules import DecoderLayer

BATCH, LENGTH, VOCAB = 2, 9, 17
SIZES: dict[str, Any] = {"d_model": 12, "d_ff": 7, "num_heads": 2}
CONFIG = DecoderOnlyConfig(num_layers=4, max_positions=LENGTH, positions="none", **SIZES)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, VOCAB, (BATCH, LENGTH)))
BY_LAYER: dict[str, dict[str, Any]] = {
    "windows": {"attention_window": (3, None)},
    "bases": {"positions": "rotary", "rotary_base": (10.0, 1000.0)},
    "schemes": {"positions": ("rotary", "none", "alibi", "t5")},
    "norms of the input": {"attention_norm": (False, True)},
    "windows and schemes": {"attention_window": (3, 2), "positions": ("rotary", "none")},
}
pytestmark = pytest.mark.usefixtures("compiled_quickly")


def make(config: Any = CONFIG, **settings: Any) -> tuple[Any, Any]:
    """A model and random variables of it."""
    model = dataclasses.replace(config, **settings).build(vocab_size=VOCAB)
    inputs = (TOKENS, TOKENS) if isinstance(config, EncoderDecoderConfig) else (TOKENS,)
    return model, draw_parameters(model, *inputs)


@pytest.mark.parametrize("settings", BY_LAYER.values(), ids=BY_LAYER)
def test_each_layer_has_its_own_options(settings):
    """Against the layers one after the other, each with options that are written out."""
    model, variables = make(**settings)
    params = variables["params"]
    x = params["embedding"]["table"][TOKENS]
    for i in range(CONFIG.num_layers):
        written_out = {
            name: values[i % len(values)] if isinstance(values, tuple) else values
            for name, values in settings.items()
        }
        options = CONFIG.of_layer(**written_out)
        segments = jnp.ones((BATCH, LENGTH), jnp.int32)
        layout = lay_out(segments, causal=True, window=written_out.get("attention_window"))
        x, _ = DecoderLayer(options).apply({"params": params[f"decoder_{i}"]}, x, layout)
    scale, bias = (params["decoder_norm"][name] for name in ("scale", "bias"))
    normalized = layer_norm(np.asarray(x, np.float64), CONFIG.norm_epsilon) * scale + bias
    expected = normalized @ np.asarray(params["embedding"]["table"], np.float64).T
    assert_close(model.apply(variables, TOKENS), expected, 1e-5)


@pytest.mark.parametrize("settings", BY_LAYER.values(), ids=BY_LAYER)
def test_a_scan_over_one_period_gives_the_same(settings):
    model, variables = make(**settings)
    config = dataclasses.replace(model.config, scan_layers=True, remat="all")
    stacked = stack_layers(variables, config.period())
    scanned = config.build(vocab_size=VOCAB)
    shapes = jax.eval_shape(scanned.init, jax.random.key(0), TOKENS)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, stacked)
    assert_close(scanned.apply(stacked, TOKENS), model.apply(variables, TOKENS), 1e-5)
    again = unstack_layers(stacked)
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("settings", BY_LAYER.values(), ids=BY_LAYER)
def test_cached_decoding_equals_the_full_pass(settings, scan):
    model, _ = make(scan_layers=scan, **settings)
    variables = draw_parameters(model, TOKENS)
    cache, parts = model.apply(variables, BATCH, LENGTH, method="start"), []
    for tokens in jnp.split(TOKENS, [3, 4], axis=1):
        part, cache = model.apply(variables, tokens, cache, method="decode")
        parts.append(part)
    assert_close(jnp.concatenate(parts, axis=1), model.apply(variables, TOKENS), 1e-5)


def test_layers_that_are_no_whole_periods_are_not_scanned():
    model = dataclasses.replace(CONFIG, scan_layers=True, attention_window=(1, 2, 3)).build(
        vocab_size=VOCAB
    )
    with pytest.raises(UserError, match=r"a multiple of 3, after which .* not 4: change one"):
        jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    _, variables = make()
    with pytest.raises(ValueError, match="4 layers of decoder are not a multiple of 3"):
        stack_layers(variables, 3)


STACKS: dict[str, tuple[Any, dict[str, str]]] = {
    "decoder": (CONFIG, {"decoder": "self_attention"}),
    "encoder": (EncoderOnlyConfig(num_layers=2, **SIZES), {"encoder": "attention"}),
    "pair": (
        EncoderDecoderConfig(num_encoder_layers=2, num_decoder_layers=2, **SIZES),
        {"encoder": "attention", "decoder": "self_attention"},
    ),
}


def with_tables_of_their_own(variables: Any, attentions: dict[str, str], scan: bool) -> Any:
    """The parameters of separate layers, each with the table that they share."""
    params = unstack_layers(variables)["params"] if scan else dict(variables["params"])
    tables = {side: params.pop(f"{side}_positions")["table"] for side in attentions}
    for layer in [key for key in params if re.fullmatch(r"(en|de)coder_\d+", key)]:
        side = layer.partition("_")[0]
        attention = attentions[side]
        assert "scheme_table" not in params[layer][attention]
        with_table = params[layer][attention] | {"scheme_table": tables[side]}
        params[layer] = params[layer] | {attention: with_table}
    return params


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("positions", ["t5", "relative"])
@pytest.mark.parametrize("name", STACKS)
def test_a_shared_table_is_that_of_every_layer(name, positions, scan):
    config, attentions = STACKS[name]
    config = dataclasses.replace(config, positions=positions)
    model, variables = make(config, share_position_table=True, scan_layers=scan)
    params = with_tables_of_their_own(variables, attentions, scan)
    inputs = (TOKENS, TOKENS) if name == "pair" else (TOKENS,)
    expected = config.build(vocab_size=VOCAB).apply({"params": params}, *inputs)
    assert_close(model.apply(variables, *inputs), expected, 1e-5)


@pytest.mark.parametrize("scan", [False, True])
def test_the_gradient_of_a_shared_table_is_the_sum_over_the_layers(scan):
    """So a training moves one table, and it stays one."""
    config, attentions = STACKS["pair"]
    config = dataclasses.replace(config, positions="t5")
    model, variables = make(config, share_position_table=True, scan_layers=scan)
    params = with_tables_of_their_own(variables, attentions, scan)

    def gradients(model: Any, params: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            return jnp.square(model.apply({"params": params}, TOKENS, TOKENS)).sum()

        return jax.jit(jax.grad(loss))(params)

    shared = gradients(model, variables["params"])
    separate = gradients(config.build(vocab_size=VOCAB), params)
    for side, attention in attentions.items():
        expected = sum(separate[f"{side}_{i}"][attention]["scheme_table"] for i in range(2))
        assert np.abs(expected).max() > 1e-3
        assert_close(shared[f"{side}_positions"]["table"], expected, 1e-5)


def test_logits_may_have_a_matrix_and_a_bias_of_their_own_and_a_bound():
    model, variables = make(tied_logits=False, logits_bias=True, logits_soft_cap=0.7)
    embedding = variables["params"]["embedding"]
    assert set(embedding) == {"table", "logits_table", "bias"}
    hidden = np.asarray(model.apply(variables, TOKENS, method="represent"), np.float64)
    logits = hidden @ embedding["logits_table"].T + embedding["bias"]
    assert_close(model.apply(variables, TOKENS), 0.7 * np.tanh(logits / 0.7), 1e-5)


def test_embeddings_may_be_normalized():
    """In each stack by a norm of its own; in an encoder-only model they are unless told."""
    model, variables = make(embedding_norm=True, num_layers=1)
    params = variables["params"]
    _, state = model.apply(variables, TOKENS, mutable="activations")
    embedded = np.asarray(params["embedding"]["table"][TOKENS], np.float64)
    norm = params["embedding_norm"]
    expected = layer_norm(embedded, CONFIG.norm_epsilon) * norm["scale"] + norm["bias"]
    assert_close(state["activations"]["embedded"], expected, 1e-5)
    _, of_pairs = make(STACKS["pair"][0], embedding_norm=True)
    norms = {name for name in of_pairs["params"] if name.endswith("embedding_norm")}
    assert norms == {"source_embedding_norm", "target_embedding_norm"}
    _, plain = make(STACKS["encoder"][0], embedding_norm=False)
    assert "embedding_norm" not in plain["params"]
