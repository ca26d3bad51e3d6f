import functools

import jax
import pytest

from flax_transformer.models import ZOO
from flax_transformer.models.presets import count

EXACT = {name: entry for name, entry in ZOO.items() if entry.parameters % 100_000}
ROUNDED = {name: entry for name, entry in ZOO.items() if name not in EXACT}


def test_there_are_counts_of_both_kinds():
    assert {"gpt2-small", "bert-base", "ViT-S/16", "ViT-B/16"} == set(EXACT)
    assert len(ROUNDED) == 4


@pytest.mark.parametrize("name", EXACT)
def test_a_size_has_the_published_parameters(name):
    entry = EXACT[name]
    assert count(entry.model, entry.inputs, method=entry.method) == entry.parameters


@pytest.mark.parametrize("name", ROUNDED)
def test_a_size_has_the_published_tenths_of_millions(name):
    """Rounded or, as the paper does it with 88.95 million, cut off."""
    entry = ROUNDED[name]
    assert abs(count(entry.model, entry.inputs) - entry.parameters) < 100_000


@pytest.mark.parametrize("name", ZOO)
def test_a_size_gives_outputs_of_the_published_shape(name):
    entry = ZOO[name]
    run = functools.partial(entry.model.init_with_output, method=entry.method)
    outputs, _ = jax.eval_shape(run, jax.random.key(0), entry.inputs)
    assert (outputs.shape, outputs.dtype) == (entry.outputs, "float32")


def test_counts_of_heads_are_those_of_the_body_and_their_own():
    """BERT's head of masked tokens: a transform, its norm, and a bias for each token."""
    bert = ZOO["bert-base"]
    body, pooled, masked, classified = (
        count(bert.model, bert.inputs, method=method)
        for method in ("__call__", "pool", "predict_tokens", "classify")
    )
    assert pooled - body == 768 * 768 + 768
    assert masked - body == (768 * 768 + 768) + 2 * 768 + 30_522
    assert classified - pooled == 2 * 768 + 2


def test_each_size_says_where_its_count_stands():
    assert all(entry.source for entry in ZOO.values())
