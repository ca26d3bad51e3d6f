import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.decoding.hypotheses import reorder_history, repeat_history
from flax_transformer.models import (
    EncoderDecoder,
    EncoderDecoderConfig,
    stack_layers,
    unstack_layers,
)
from flax_transformer.models.layer_stack import pass_through
from flax_transformer.modules import Dropout

BATCH, SOURCE_LENGTH, LENGTH, VOCAB, CAPACITY, BEAM = 2, 5, 7, 17, 11, 3
CONFIG = EncoderDecoderConfig(
    num_encoder_layers=3,
    num_decoder_layers=2,
    d_model=7,
    d_ff=13,
    num_heads=4,
    key_dim=19,
    value_dim=23,
    max_positions=29,
    residual_dropout_rate=0.0,
)
MODELS: dict[str, dict[str, Any]] = {
    "batch-t5": {"norm": "batch", "positions": "t5"},
    "pre-learned-grouped": {
        "norm_placement": "pre",
        "positions": "learned",
        "num_key_value_heads": 2,
    },
}
DEPTHS = {
    "remat": {"remat": "all"},
    "scan": {"scan_layers": True},
    "both": {"remat": "all", "scan_layers": True},
}
TOLERANCE = 1e-6
RNG = np.random.default_rng(0)


def draw_tokens(length: int) -> jax.Array:
    """Random tokens; the last row ends in padding."""
    return jnp.asarray(RNG.integers(1, VOCAB, (BATCH, length))).at[-1, -2:].set(0)


SOURCE, TARGET = draw_tokens(SOURCE_LENGTH), draw_tokens(LENGTH)


@functools.partial(jax.jit, static_argnames=("config", "method", "capacity"))
def apply(config, variables, *inputs, method="__call__", **options):
    return EncoderDecoder(config, VOCAB).apply(variables, *inputs, method=method, **options)


@functools.partial(jax.jit, static_argnames="config")
def train(config, variables):
    """Logits, what the pass stores, and gradients; without dropout."""

    def loss(params):
        logits, state = EncoderDecoder(config, VOCAB).apply(
            variables | {"params": params},
            SOURCE,
            TARGET,
            deterministic=False,
            mutable=["batch_stats", "activations"],
        )
        return jnp.sin(logits).sum(), (logits, state)

    (_, results), gradients = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return *results, {"params": gradients}


@pytest.fixture
def compiled_quickly() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(params=MODELS)
def plain(
    request: pytest.FixtureRequest, compiled_quickly: None
) -> tuple[EncoderDecoderConfig, Any]:
    """A model that goes through its layers one by one, and variables of it."""
    config = dataclasses.replace(CONFIG, **MODELS[request.param])
    variables = draw_parameters(EncoderDecoder(config, VOCAB), SOURCE, TARGET)
    if "batch_stats" in variables:  # a variance is positive
        variables["batch_stats"] = jax.tree.map(jnp.exp, variables["batch_stats"])
    return config, variables


def assert_trees_close(actual: Any, expected: Any) -> None:
    actual, expected = (dict(jax.tree.leaves_with_path(tree)) for tree in (actual, expected))
    assert actual.keys() == expected.keys()
    for path in expected:
        assert_close(actual[path], expected[path], TOLERANCE)


@pytest.mark.parametrize("depth", DEPTHS.values(), ids=DEPTHS)
def test_logits_statistics_and_gradients_are_those_of_the_plain_model(plain, depth):
    config, variables = plain
    deep = dataclasses.replace(config, **depth)
    stack, unstack = (stack_layers, unstack_layers) if deep.scan_layers else (dict, dict)
    logits = apply(config, variables, SOURCE, TARGET)
    assert_close(apply(deep, stack(variables), SOURCE, TARGET), logits, TOLERANCE)
    logits, state, gradients = train(config, variables)
    actual, actual_state, actual_gradients = train(deep, stack(variables))
    assert_close(actual, logits, TOLERANCE)
    assert_trees_close(unstack(actual_state), state)
    assert jax.tree.structure(unstack(actual_gradients)) == jax.tree.structure(gradients)
    # All in one: before a batch normalization a bias has no gradient but what rounding leaves.
    flat, actual_flat = (ravel_pytree(x)[0] for x in (gradients, unstack(actual_gradients)))
    assert_close(actual_flat, flat, TOLERANCE)


def test_a_new_model_has_the_shapes_of_stacked_layers_and_layers_that_differ(plain):
    config, variables = plain
    scanned = EncoderDecoder(dataclasses.replace(config, scan_layers=True), VOCAB)
    new = jax.jit(scanned.init)(jax.random.key(0), SOURCE, TARGET)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, stack_layers(variables))
    kernel = new["params"]["encoder"]["feed_forward"]["hidden"]["kernel"]
    for one, other in itertools.combinations(kernel, 2):
        assert jnp.abs(one - other).max() > 0.1


def decode(config, variables):
    """The logits of a prompt and of three hypotheses that move after every step, and the cache."""
    draw = np.random.default_rng(0)
    cache = apply(config, variables, SOURCE, method="start", capacity=CAPACITY)
    logits, cache = apply(config, variables, TARGET[:, :3], cache, method="decode")
    cache = repeat_history(cache, BEAM)
    results = [logits]
    for _ in range(3):
        tokens = jnp.asarray(draw.integers(1, VOCAB, (BATCH * BEAM, 1)))
        logits, cache = apply(config, variables, tokens, cache, method="decode")
        results.append(logits)
        cache = reorder_history(cache, jnp.asarray(draw.integers(0, BEAM, (BATCH, BEAM))))
    return results, cache


def test_cached_decoding_of_hypotheses_that_move_is_that_of_the_plain_model(plain):
    config, variables = plain
    expected = decode(config, variables)
    scanned = dataclasses.replace(config, scan_layers=True, remat="all")
    assert_trees_close(decode(scanned, stack_layers(variables)), expected)


def test_attention_is_looked_at_with_a_leading_axis_of_layers(plain):
    """Its values are compared with those of the plain model above."""
    config, variables = plain
    model = EncoderDecoder(dataclasses.replace(config, scan_layers=True), VOCAB)
    look = functools.partial(model.apply, mutable=["activations"])
    _, stored = jax.eval_shape(look, stack_layers(variables), SOURCE, TARGET)
    weights = stored["activations"]["encoder"]["attention"]["weights"]
    assert weights.shape == (3, BATCH, CONFIG.num_heads, SOURCE_LENGTH, SOURCE_LENGTH)


def test_every_layer_that_is_scanned_draws_its_own_dropout():
    def drawn(layer):
        step = lambda layer, x, _: (x, layer(x, False))  # noqa: E731
        return pass_through(layer, step, jnp.ones((2, 3, 5)), [None] * 3)[1]

    factors = nn.apply(drawn, Dropout(0.5))({}, rngs={"dropout": jax.random.key(0)})
    for one, other in itertools.combinations(factors, 2):
        assert (one != other).any()


def gradient(**depth: Any) -> Any:
    """The gradient of a model of six layers a side, traced."""
    config = dataclasses.replace(CONFIG, num_encoder_layers=6, num_decoder_layers=6, **depth)
    model = EncoderDecoder(config, VOCAB)
    tokens = jax.ShapeDtypeStruct((13, 31), jnp.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), tokens, tokens)

    def loss(variables: Any, tokens: jax.Array) -> Any:
        logits: Any = model.apply(variables, tokens, tokens)
        return jnp.sin(logits).sum()

    return jax.jit(jax.grad(loss)).trace(variables, tokens)


@pytest.mark.usefixtures("compiled_quickly")
def test_layers_computed_again_need_less_memory():
    plain, remat = (
        gradient(scan_layers=True, remat=remat).lower().compile().memory_analysis()
        for remat in ("none", "all")
    )
    assert remat.temp_size_in_bytes < plain.temp_size_in_bytes / 3


def test_every_layer_is_computed_again_without_a_scan_too():
    """By the program: on a CPU, XLA merges what is computed twice outside a loop."""
    assert str(gradient().jaxpr).count("remat") == 0
    assert str(gradient(remat="all").jaxpr).count("remat2[") == 2 * 6


@pytest.mark.usefixtures("compiled_quickly")
def test_a_scanned_program_does_not_grow_with_the_layers():
    looped, scanned = (
        gradient(scan_layers=scan).lower().compile().as_text().count(" dot(")
        for scan in (False, True)
    )
    assert scanned < looped / 4
