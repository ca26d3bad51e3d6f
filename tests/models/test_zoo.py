import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from small_models import PUBLISHED

from flax_transformer.models import ZOO
from flax_transformer.models.zoo import count

pytestmark = pytest.mark.platforms

EXACT = {name: entry for name, entry in PUBLISHED.items() if entry.parameters % 100_000}
ROUNDED = {name: entry for name, entry in PUBLISHED.items() if name not in EXACT}


def test_there_are_counts_of_both_kinds():
    assert {"gpt2-small", "bert-base", "ViT-S/16", "ViT-B/16"} == set(EXACT)
    assert len(ROUNDED) == 4


@pytest.mark.parametrize("name", EXACT)
def test_a_size_has_the_published_parameters(name):
    entry = EXACT[name]
    assert count(entry.model, *entry.inputs, method=entry.method) == entry.parameters


@pytest.mark.parametrize("name", ROUNDED)
def test_a_size_has_the_published_tenths_of_millions(name):
    """Rounded or, as the paper does it with 88.95 million, cut off."""
    entry = ROUNDED[name]
    assert abs(count(entry.model, *entry.inputs) - entry.parameters) < 100_000


@pytest.mark.parametrize("name", ZOO)
def test_a_size_gives_outputs_of_the_published_shape(name):
    entry = ZOO[name]
    run = functools.partial(entry.model.init_with_output, method=entry.method)
    outputs, _ = jax.eval_shape(run, jax.random.key(0), *entry.inputs)
    assert (outputs.shape, outputs.dtype) == (entry.outputs, "float32")


def test_counts_of_heads_are_those_of_the_body_and_their_own():
    """BERT's head of masked tokens: a transform, its norm, and a bias for each token."""
    bert = ZOO["bert-base"]
    body, pooled, masked, classified = (
        count(bert.model, *bert.inputs, method=method)
        for method in ("__call__", "pool", "predict_tokens", "classify")
    )
    assert pooled - body == 768 * 768 + 768
    assert masked - body == (768 * 768 + 768) + 2 * 768 + 30_522
    assert classified - pooled == 2 * 768 + 2


def test_each_size_says_where_its_count_stands():
    assert all(entry.source for entry in ZOO.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_bfloat16_computes_with_float32_parameters(name):
    entry: Any = ZOO[name]
    low = entry.model.clone(config=dataclasses.replace(entry.model.config, dtype="bfloat16"))
    run = functools.partial(
        low.init_with_output,
        method=entry.method,
        capture_intermediates=True,
        mutable=["params", "intermediates"],
    )
    outputs, state = jax.eval_shape(run, jax.random.key(0), *entry.inputs)
    assert {x.dtype for x in jax.tree.leaves(state["params"])} == {jnp.dtype("float32")}
    state["intermediates"].pop(entry.method or "__call__", None)
    vectors = [x for x in jax.tree.leaves(state["intermediates"]) if x.ndim > 2]
    assert {x.dtype for x in vectors} == {jnp.dtype("bfloat16")}
    # The logits of tokens are not rounded.
    assert outputs.dtype == ("float32" if name == "gpt2-small" else "bfloat16")


RATES = ["residual_dropout_rate", "attention_dropout_rate", "feed_forward_dropout_rate"]
NO_DROPOUT: dict[str, Any] = dict.fromkeys(RATES, 0.0)
SMALL: dict[str, Any] = {"num_layers": 1, "d_model": 6, "d_ff": 7, "num_heads": 2}
SMALL_IMAGE: dict[str, Any] = SMALL | {"image_size": (4, 6), "patch_size": (2, 3)}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_rate_drops_something_in_training_only(name, rate, normal):
    entry: Any = ZOO[name]
    if entry.inputs[0].ndim == 2:
        settings, inputs = SMALL, jnp.arange(1, 6)[None]
    else:
        frames = (4,) * (entry.inputs[0].ndim - 4)
        settings, inputs = SMALL_IMAGE, normal(1, *frames, 4, 6, 3)
        if frames:
            settings = settings | {"num_frames": 4, "num_time_layers": 1}
    config = dataclasses.replace(entry.model.config, **settings, **NO_DROPOUT)
    model = entry.model.clone(config=config)
    dropping = entry.model.clone(config=dataclasses.replace(config, **{rate: 0.5}))
    variables = draw_parameters(model, inputs, method=entry.method)
    run = {"method": entry.method, "rngs": {"dropout": jax.random.key(0)}}
    plain = model.apply(variables, inputs, method=entry.method)
    np.testing.assert_array_equal(dropping.apply(variables, inputs, method=entry.method), plain)
    np.testing.assert_array_equal(model.apply(variables, inputs, deterministic=False, **run), plain)
    dropped = dropping.apply(variables, inputs, deterministic=False, **run)
    assert jnp.abs(dropped - plain).max() > 1e-3
