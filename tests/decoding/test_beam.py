from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import (
    PENALTIES,
    all_finished,
    beam_search_to_the_limit,
    limits_of,
    outputs,
    penalty_of,
    python_penalty_of,
    ranked,
    search_with,
)
from history_model import EOS, PAD, HistoryModel, random_model

from flax_transformer.decoding import beam_search, greedy_search
from flax_transformer.decoding.continuations import best_continuations

pytestmark = pytest.mark.platforms


@pytest.mark.parametrize(("name", "alpha"), PENALTIES)
def test_a_beam_as_wide_as_the_tree_finds_what_brute_force_finds(name, alpha):
    limit, vocab, num_best = 5, 3, 7
    finished = all_finished(vocab, limit)
    search = search_with(penalty_of(name, alpha), beam_size=53, max_length=limit, num_best=num_best)
    for seed in range(11):
        model = random_model(seed, batch=2, vocab=vocab, eos_logit=-1.0)
        found = search(model)
        for example in range(2):
            best, score = ranked(model, example, finished, python_penalty_of(name, alpha))
            assert outputs(found, example) == best[:num_best]
            np.testing.assert_allclose(
                found.scores[example], [score[c] for c in best[:num_best]], rtol=1e-5
            )


@pytest.mark.parametrize(("name", "alpha"), PENALTIES[1::3])
def test_stopping_early_returns_what_running_to_the_limit_returns(name, alpha):
    settings = {"beam_size": 3, "max_length": 13, "num_best": 2}
    search = search_with(penalty_of(name, alpha), **settings)
    python_penalty = python_penalty_of(name, alpha)
    for seed in range(7):
        model = random_model(seed, batch=5, vocab=7, eos_logit=1.0)
        found = search(model)
        for example in range(5):
            best = outputs(found, example)
            assert best == beam_search_to_the_limit(model, example, 13, 3, 2, python_penalty)
            scores = [model.score(example, c) / python_penalty(len(c)) for c in best]
            np.testing.assert_allclose(found.scores[example], scores, rtol=1e-5)


def test_stopping_early_saves_steps():
    num_steps = []
    model = random_model(seed=3, batch=2, vocab=7, eos_logit=5.0)

    def counting_step(tokens, cache):
        jax.debug.callback(lambda: num_steps.append(1))
        return model.step()(tokens, cache)

    search = partial(beam_search, beam_size=3, length_penalty=penalty_of("gnmt", 0.6))
    found = jax.jit(
        lambda model: search(counting_step, model.cache(), model.prompt(), limits_of(17))
    )(model)
    jax.effects_barrier()
    assert found.lengths.max() <= len(num_steps) < 11


@pytest.mark.parametrize(("name", "alpha"), PENALTIES[::4])
def test_a_beam_of_one_is_greedy_search(name, alpha):
    search = search_with(penalty_of(name, alpha), beam_size=1, max_length=11)
    search_greedily = jax.jit(
        lambda model: greedy_search(model.step(), model.cache(), model.prompt(), limits_of(11))
    )
    for seed in range(7):
        model = random_model(seed, batch=5, vocab=7)
        found, greedy = search(model), search_greedily(model)
        np.testing.assert_array_equal(found.tokens, greedy.tokens)
        np.testing.assert_array_equal(found.lengths, greedy.lengths)
        np.testing.assert_allclose(found.log_probs, greedy.log_probs, rtol=1e-5)


@pytest.mark.parametrize("beam_size", [2, 23])
def test_every_hypothesis_is_what_it_says(beam_size):
    """Padded behind EOS, scored by the model itself, each different, the finished ones sorted."""
    model = random_model(seed=1, batch=3, vocab=7)
    limits = np.array([11, 3, 1])
    search = search_with(
        penalty_of("power", 0.6), beam_size=beam_size, max_length=11, num_best=beam_size
    )
    found = search(model, jnp.asarray(limits))
    assert found.tokens.shape == (3, beam_size, 11)
    for example in range(3):
        ended = []
        for place, output in enumerate(outputs(found, example)):
            log_prob, score = found.log_probs[example, place], found.scores[example, place]
            assert (found.tokens[example, place, len(output) :] == PAD).all()
            if not output:
                assert log_prob == score == -np.inf
                continue
            assert EOS not in output[:-1]
            assert output[-1] == EOS or len(output) == limits[example]
            np.testing.assert_allclose(log_prob, model.score(example, output), rtol=1e-5)
            np.testing.assert_allclose(score, log_prob / len(output) ** 0.6, rtol=1e-6)
            ended.append(output[-1] == EOS)
        assert ended == sorted(ended, reverse=True)
        finished = found.scores[example, : sum(ended)]
        assert (np.diff(finished) <= 0).all()
        existing = outputs(found, example)[: len(ended)]
        assert len(set(existing)) == len(existing) == min(beam_size, 7 ** limits[example])


def test_limits_of_examples_are_those_of_searching_each_alone():
    limits = [7, 1, 50, 1, 7]
    model = random_model(seed=5, batch=5, vocab=7, eos_logit=-3.0)
    searches = {
        limit: search_with(penalty_of("gnmt", 0.6), beam_size=3, max_length=limit, num_best=3)
        for limit in (1, 7, 13)
    }
    found = searches[13](model, jnp.array(limits))
    for example, limit in enumerate(limits):
        alone = searches[min(limit, 13)](
            HistoryModel(model.table, model.context[example : example + 1])
        )
        assert outputs(alone, 0) == outputs(found, example)
        np.testing.assert_allclose(alone.scores[0], found.scores[example], rtol=1e-6)


def test_live_hypotheses_follow_where_too_few_finish():
    model = random_model(seed=2, batch=3, vocab=5, eos_logit=-1e9)
    found = search_with(penalty_of("gnmt", 0.6), beam_size=3, max_length=7, num_best=3)(model)
    assert (found.lengths == 7).all()
    assert EOS not in np.asarray(found.tokens)
    for example in range(3):
        assert outputs(found, example) == beam_search_to_the_limit(
            model, example, 7, 3, 3, python_penalty_of("gnmt", 0.6)
        )


def test_impossible_tokens_and_missing_hypotheses_give_no_nan():
    """Two sequences exist for a beam of five: the other places stay empty."""
    table = jnp.full((97, 7), -jnp.inf).at[:, EOS].set(0.0).at[:, 5].set(1.0)
    model = random_model(seed=0, batch=2, vocab=7)._replace(table=table)
    found = search_with(penalty_of("gnmt", 0.6), beam_size=5, max_length=2, num_best=5)(model)
    for example in range(2):
        assert set(outputs(found, example)[:2]) == {(EOS,), (5, EOS)}
        assert outputs(found, example)[2:] == [(5, 5), (), ()]
    assert not np.isnan(found.scores).any()
    assert not np.isnan(found.log_probs).any()
    assert (found.scores[:, 3:] == -np.inf).all()


def test_best_continuations_are_those_of_a_full_sort():
    """Logits of three distinct values: ties go to the lower parent, then to the lower token."""
    rng = np.random.default_rng(0)
    for beam_size, number, vocab in [(3, 3, 11), (5, 5, 2), (3, 6, 11), (5, 11, 2)]:
        logits = rng.integers(0, 3, (2, 1, vocab)).astype(np.float32).repeat(beam_size, axis=1)
        log_probs = rng.integers(-2, 0, (2, beam_size)).astype(np.float32)
        inputs = (jnp.asarray(logits), jnp.asarray(log_probs))
        best, parents, tokens = best_continuations(*inputs, number)
        normalized = logits - np.asarray(jax.nn.logsumexp(logits, axis=-1, keepdims=True))
        candidates = (log_probs[..., None] + normalized).reshape(2, -1)
        order = np.argsort(-candidates, axis=1, kind="stable")[:, :number]
        np.testing.assert_array_equal(best, np.take_along_axis(candidates, order, axis=1))
        np.testing.assert_array_equal(parents, order // vocab)
        np.testing.assert_array_equal(tokens, order % vocab)


def test_logits_of_an_absent_hypothesis_have_no_influence():
    logits = jnp.array([[[1.0, 2.0, 0.0], [jnp.nan] * 3]])
    best, parents, tokens = best_continuations(logits, jnp.array([[-1.0, -jnp.inf]]), 2)
    np.testing.assert_allclose(best, jax.nn.log_softmax(logits[:, 0])[:, [1, 0]] - 1.0, rtol=1e-6)
    assert parents.tolist() == [[0, 0]]
    assert tokens.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 3, "num_best": 5}, r"1 \.\. 3 \(beam_size\), got 5"),
        ({"beam_size": 0, "num_best": 1}, r"1 \.\. 0 \(beam_size\), got 1"),
    ],
)
def test_impossible_sizes_are_refused(settings, message):
    model = random_model(seed=0, batch=2, vocab=5)
    with pytest.raises(ValueError, match=message):
        beam_search(
            model.step(),
            model.cache(),
            model.prompt(),
            limits_of(7),
            length_penalty=penalty_of("gnmt", 0.6),
            **settings,
        )
