"""Beam search against its definition, with models and limits that hypothesis draws."""

import functools

import jax.numpy as jnp
import numpy as np
from brute_force import (
    all_finished,
    beam_search_to_the_limit,
    outputs,
    penalty_of,
    python_penalty_of,
    ranked,
    search_with,
)
from history_model import EOS, NUM_STATES, PAD, random_model
from hypothesis import given, settings
from hypothesis import strategies as st

LIMIT, BATCH = 4, 2
WIDE = 53  # more than there are sequences of three tokens that go on
PENALTIES = st.sampled_from([("gnmt", 0.6), ("power", 1.0)])
LIMITS = st.lists(st.integers(1, LIMIT), min_size=BATCH, max_size=BATCH)
# From never ending to ending at once.
EOS_LOGITS = st.sampled_from([-1e9, -3.0, 0.0, 3.0, 30.0])


@functools.cache
def search(name: str, alpha: float, beam_size: int, num_best: int):
    """Compiled once for all examples."""
    penalty = penalty_of(name, alpha)
    return search_with(penalty, beam_size=beam_size, max_length=LIMIT, num_best=num_best)


@settings(deadline=None, derandomize=True, max_examples=61)
@given(st.integers(0, 2**31 - 1), PENALTIES, EOS_LOGITS, LIMITS)
def test_a_wide_beam_finds_what_brute_force_finds(seed, penalty, eos_logit, limits):
    model = random_model(seed, BATCH, vocab=3, eos_logit=eos_logit)
    found = search(*penalty, WIDE, 3)(model, jnp.array(limits))
    for example, limit in enumerate(limits):
        finished = all_finished(3, limit)
        best, score = ranked(model, example, finished, python_penalty_of(*penalty))
        number = min(3, len(best))
        # Of two sequences as good as each other either may come first.
        np.testing.assert_allclose(
            found.scores[example, :number], [score[c] for c in best[:number]], rtol=1e-4, atol=1e-5
        )
        assert set(outputs(found, example)[:number]) <= set(finished)


@settings(deadline=None, derandomize=True, max_examples=61)
@given(st.integers(0, 2**31 - 1), PENALTIES, EOS_LOGITS, LIMITS, st.sampled_from([(2, 1), (3, 3)]))
def test_a_narrow_beam_follows_the_definition(seed, penalty, eos_logit, limits, sizes):
    model = random_model(seed, BATCH, vocab=7, eos_logit=eos_logit)
    beam_size, num_best = sizes
    found = search(*penalty, beam_size, num_best)(model, jnp.array(limits))
    for example, limit in enumerate(limits):
        expected = beam_search_to_the_limit(
            model, example, limit, beam_size, num_best, python_penalty_of(*penalty)
        )
        assert outputs(found, example)[: len(expected)] == expected


@settings(deadline=None, derandomize=True, max_examples=53)
@given(
    st.lists(st.sampled_from([-np.inf, -1e30, -1.0, 0.0, 7.0, 1e30]), min_size=7, max_size=7),
    st.integers(0, 97),
)
def test_no_logits_give_nan_or_an_impossible_token(logits, seed):
    """Whole columns of the table are extreme: tokens that always or never come."""
    logits[EOS] = max(logits[EOS], -1.0)  # a model must be able to say something
    model = random_model(seed, BATCH, vocab=7)
    model = model._replace(table=jnp.tile(jnp.array(logits, jnp.float32), (NUM_STATES, 1)))
    found = search("gnmt", 0.6, 3, 3)(model)
    assert not np.isnan(found.scores).any()
    assert np.isfinite(found.scores[:, 0]).all()
    for example in range(BATCH):
        for output, score in zip(outputs(found, example), found.scores[example], strict=True):
            if np.isfinite(score):
                assert all(logits[token] > -np.inf for token in output)
                assert EOS not in output[:-1]
        assert (
            np.asarray(found.tokens)[example, 0, len(outputs(found, example)[0]) :] == PAD
        ).all()
