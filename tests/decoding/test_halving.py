"""A search that goes on with half of its examples finds what the search of all of them finds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import penalty_of, search_with
from history_model import EOS, PAD, HistoryModel, random_model
from parameters import draw_parameters

from flax_transformer.decoding import Hypotheses, SearchLimits, Step, beam_search
from flax_transformer.functional.cache import Cache
from flax_transformer.models import (
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
)

BATCH, BEAM, VOCAB, LIMIT, BOS = 13, 3, 17, 11, 1
# Some examples end with their first token and some at the limit, in no order.
LIMITS = jnp.array([3, 11, 1, 5, 2, 11, 2, 7, 1, 1, 3, 2, 1])
SIZES: dict[str, Any] = {"d_model": 13, "d_ff": 19, "num_heads": 4, "key_dim": 3, "value_dim": 5}


def find(
    step: Step, cache: Cache, prompt: jax.Array, num_halvings: int, eos_id: int = EOS
) -> Hypotheses:
    return beam_search(
        step,
        cache,
        prompt,
        SearchLimits(max_length=LIMIT, eos_id=eos_id, pad_id=PAD, max_lengths=LIMITS),
        beam_size=BEAM,
        length_penalty=penalty_of("gnmt", 0.6),
        num_best=2,
        num_halvings=num_halvings,
    )


def translate(num_halvings: int) -> Hypotheses:
    """Searches with an encoder-decoder, whose context tells the examples apart."""
    config = EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=2, **SIZES)
    model = EncoderDecoder(config, VOCAB)
    source = jnp.asarray(np.random.default_rng(2).integers(0, VOCAB, (BATCH, 7)))
    prompt = jnp.full((BATCH, 1), BOS)
    variables = draw_parameters(model, source, prompt)
    apply: Any = partial(model.apply, variables)
    cache = apply(source, LIMIT, method="start")
    return find(partial(apply, method="decode"), cache, prompt, num_halvings)


def go_on(num_halvings: int) -> Hypotheses:
    """Searches with a decoder alone, whose examples differ in what they have written."""
    model = DecoderOnly(DecoderOnlyConfig(num_layers=2, **SIZES), VOCAB)
    prompt = jnp.asarray(np.random.default_rng(3).integers(3, VOCAB, (BATCH, 2)))
    variables = draw_parameters(model, prompt)
    apply: Any = partial(model.apply, variables)
    cache = apply(BATCH, LIMIT + 1, method="start")
    return find(partial(apply, method="decode"), cache, prompt, num_halvings)


@pytest.mark.parametrize("search", [translate, go_on])
def test_models_with_a_cache_find_the_same(search: Callable):
    expected, found = (jax.jit(search, static_argnums=0)(n) for n in (0, 2))
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)
    np.testing.assert_allclose(found.log_probs, expected.log_probs, rtol=1e-5)
    # No two examples are searched alike, so that one in another's place would be seen.
    assert len({tuple(scores) for scores in np.asarray(expected.scores).tolist()}) == BATCH


@pytest.mark.parametrize(("batch", "num_halvings"), [(1, 1), (2, 1), (13, 1), (13, 7)])
def test_histories_and_hypotheses_return_to_their_examples(batch, num_halvings):
    """Bit for bit: this model's logits do not depend on how many rows there are."""
    settings = {"beam_size": BEAM, "max_length": LIMIT, "num_best": 2}
    whole, halved = (
        search_with(penalty_of("gnmt", 0.6), num_halvings=n, **settings) for n in (0, num_halvings)
    )
    for seed in range(5):
        model = random_model(seed, batch, vocab=7, eos_logit=1.0)
        jax.tree.map(np.testing.assert_array_equal, halved(model), whole(model))
        limits = LIMITS[:batch]
        jax.tree.map(np.testing.assert_array_equal, halved(model, limits), whole(model, limits))


def rows_read(model: HistoryModel, num_halvings: int) -> int:
    """Counts the rows of all steps after the prompt."""
    rows = []

    def counting_step(tokens: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        if tokens.shape[1] == 1:
            jax.debug.callback(lambda: rows.append(len(tokens)))
        return model.step()(tokens, cache)

    @jax.jit
    def run():
        # No hypothesis ends before the limit of its example.
        return find(counting_step, model.cache(), model.prompt(), num_halvings, eos_id=-1)

    jax.block_until_ready(run())
    jax.effects_barrier()
    return sum(rows)


def test_settled_examples_cost_nothing_after_they_are_left():
    """After 1, 2, 3, 4, 5, 7 tokens 9, 6, 4, 4, 3, 2 examples are left; the last ends with 11."""
    model = random_model(seed=0, batch=BATCH, vocab=7)
    assert rows_read(model, 0) == BEAM * 10 * 13
    assert rows_read(model, 1) == BEAM * (1 * 13 + 9 * 6)
    assert rows_read(model, 2) == BEAM * (1 * 13 + 3 * 6 + 6 * 3)


def test_fewer_than_no_halvings_are_refused():
    model = random_model(seed=0, batch=BATCH, vocab=5)
    with pytest.raises(ValueError, match="num_halvings must be at least 0, got -1"):
        find(model.step(), model.cache(), model.prompt(), -1)
