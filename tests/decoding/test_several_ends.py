"""Several tokens that end a hypothesis: each search ends at the first of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import beam_search_to_the_limit, outputs, python_penalty_of
from history_model import EOS, PAD, HistoryModel, random_model

from flax_transformer.decoding import DecodingConfig, SearchLimits, search

LIMIT, BATCH, VOCAB = 7, 5, 7
ENDS = (EOS, 5, 4)
MIN_LENGTH = 2


@functools.cache
def run(config: DecodingConfig, ends: int | tuple[int, ...] = ENDS):
    @jax.jit
    def found(model: HistoryModel):
        limits = SearchLimits(max_length=LIMIT, eos_id=ends, pad_id=PAD)
        return search(
            config, model.step(), model.cache(), model.prompt(), limits, rng=jax.random.key(3)
        )

    return found


def too_early(output: tuple[int, ...], log_probs: np.ndarray) -> np.ndarray:
    changed = log_probs.copy()
    if len(output) < MIN_LENGTH:
        changed[list(ENDS)] = -np.inf
    return changed


@pytest.mark.parametrize("beam", ["shrink", "refill"])
@pytest.mark.parametrize("has_rule", [False, True])
def test_a_beam_follows_its_definition(beam, has_rule):
    config = DecodingConfig(
        beam_size=3,
        beam=beam,
        num_best=3,
        length_penalty="power",
        # The prompt has two tokens.
        min_length=2 + MIN_LENGTH if has_rule else 0,
    )
    penalty = python_penalty_of("power", config.alpha)
    options = {"refill": beam == "refill", "ends": ENDS}
    if has_rule:
        options["rules"] = too_early
    used = set()
    for seed in range(7):
        model = random_model(seed, BATCH, VOCAB)
        found = run(config)(model)
        for example in range(BATCH):
            expected = beam_search_to_the_limit(model, example, LIMIT, 3, 3, penalty, **options)
            assert outputs(found, example)[: len(expected)] == expected
            used |= {output[-1] for output in expected}
    assert used >= set(ENDS)


@pytest.mark.parametrize("config", [DecodingConfig("greedy"), DecodingConfig("sample", num_best=3)])
def test_an_output_is_that_without_ends_up_to_its_first_end(config):
    model, used = random_model(2, BATCH, VOCAB), set()
    ended, whole = run(config)(model), run(config, VOCAB)(model)
    for example in range(BATCH):
        for short, long in zip(outputs(ended, example), outputs(whole, example), strict=True):
            places = [place for place, token in enumerate(long) if token in ENDS] or [LIMIT]
            assert short == long[: places[0] + 1]
            used.add(short[-1])
    assert used & set(ENDS[1:])


def test_one_end_in_a_tuple_is_that_end():
    config, model = DecodingConfig(beam="refill"), random_model(1, BATCH, VOCAB)
    jax.tree.map(np.testing.assert_array_equal, run(config, EOS)(model), run(config, (EOS,))(model))


def test_ends_are_compared_with_every_token():
    limits = SearchLimits(max_length=1, eos_id=ENDS, pad_id=PAD)
    found = limits.is_end(jnp.arange(VOCAB)).tolist()
    assert found == [token in ENDS for token in range(VOCAB)]
