import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import limits_of
from history_model import EOS, PAD, random_model

from flax_transformer.decoding import filter_top_k, filter_top_p, greedy_search, sample
from flax_transformer.decoding.sampling import categorical


def sampler(max_length=5, max_lengths=None, **settings):
    """The whole search as one jitted function of a model and a key."""

    @jax.jit
    def run(model, rng):
        return sample(
            model.step(),
            model.cache(),
            model.prompt(),
            limits_of(max_length, max_lengths),
            rng,
            **settings,
        )

    return run


@jax.jit
def search_greedily(model):
    return greedy_search(model.step(), model.cache(), model.prompt(), limits_of(5))


def draw(model, **settings):
    return sampler(**settings)(model, jax.random.key(0))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def kept(filtered) -> np.ndarray:
    return np.asarray(filtered) > -np.inf


@pytest.mark.parametrize("vocab", [8000, 7993, 523, 3, 1])
@pytest.mark.parametrize("top_k", [None, 5])
def test_the_draw_is_that_of_jax(vocab, top_k):
    logits = jnp.asarray(np.random.default_rng(vocab).normal(size=(7, 3, vocab)), jnp.float32)
    if top_k is not None:
        logits = filter_top_k(logits, top_k)
    for seed in range(5):
        rng = jax.random.key(seed)
        drawn = jax.jit(categorical)(rng, logits)
        np.testing.assert_array_equal(drawn, jax.random.categorical(rng, logits))


@pytest.mark.parametrize("k", [1, 3, 11, 13])
def test_top_k_leaves_the_k_largest(k):
    logits = np.random.default_rng(k).normal(size=(5, 11)).astype(np.float32)
    filtered = np.asarray(filter_top_k(jnp.asarray(logits), k))
    rank = (-logits).argsort(axis=1).argsort(axis=1)
    np.testing.assert_array_equal(filtered, np.where(rank < k, logits, -np.inf))


@pytest.mark.parametrize("p", [1e-320, 1e-39, 1e-6, 0.3, 0.9, 1.0])
def test_top_p_leaves_the_fewest_tokens_that_cover_p(p):
    logits = np.random.default_rng(0).normal(scale=2, size=(13, 11)).astype(np.float32)
    filtered = np.asarray(filter_top_p(jnp.asarray(logits), p))
    for row, filtered_row in zip(logits, filtered, strict=True):
        order = np.argsort(-row)
        size = 1
        while size < 11 and softmax(row)[order[:size]].sum() < p:
            size += 1
        expected = np.full(11, -np.inf)
        expected[order[:size]] = row[order[:size]]
        np.testing.assert_array_equal(filtered_row, expected)


def test_filters_leave_every_one_of_equal_tokens():
    assert kept(filter_top_k(jnp.zeros((1, 5)), 2)).all()
    assert kept(filter_top_p(jnp.zeros((1, 5)), 0.1)).all()


@pytest.mark.parametrize(
    ("settings", "probs_of"),
    [
        ({}, softmax),
        ({"temperature": 0.5}, lambda logits: softmax(2 * logits)),
        ({"top_k": 3}, lambda logits: softmax(np.asarray(filter_top_k(jnp.asarray(logits), 3)))),
        (
            {"temperature": 2.0, "top_p": 0.7},
            lambda logits: softmax(np.asarray(filter_top_p(jnp.asarray(logits / 2), 0.7))),
        ),
    ],
)
def test_frequencies_are_the_probabilities(settings, probs_of):
    """Pearson's statistic of 4,999 first tokens stays below its 99.9 % quantile (6 degrees)."""
    num_samples = 4_999
    model = random_model(seed=1, batch=2, vocab=7)
    found = draw(model, max_length=1, num_samples=num_samples, **settings)
    for example in range(2):
        counts = np.bincount(np.asarray(found.tokens[example, :, 0]), minlength=7)
        expected = num_samples * probs_of(model.log_probs(example, ()).astype(np.float32))
        possible = expected > 0
        assert counts[~possible].sum() == 0
        assert ((counts - expected)[possible] ** 2 / expected[possible]).sum() < 22.46


def test_a_token_is_independent_of_the_one_before():
    """Pearson's statistic of 36 equally probable pairs; 66.6 is its 99.9 % quantile."""
    model = random_model(seed=0, batch=1, vocab=7)
    model = model._replace(table=jnp.zeros_like(model.table).at[:, EOS].set(-jnp.inf))
    tokens = np.asarray(draw(model, max_length=2, num_samples=4_999).tokens[0])
    counts = np.bincount(7 * tokens[:, 0] + tokens[:, 1], minlength=49)
    expected = 4_999 / 36
    assert ((counts[counts > 0] - expected) ** 2 / expected).sum() < 66.6
    assert (counts > 0).sum() == 36


def test_samples_are_scored_by_the_model_itself():
    model = random_model(seed=2, batch=3, vocab=7)
    limits = [5, 2, 1]
    found = draw(model, num_samples=11, temperature=3.0, top_k=5, max_lengths=jnp.array(limits))
    for example, limit in enumerate(limits):
        for place in range(11):
            length = int(found.lengths[example, place])
            output = found.tokens[example, place, :length].tolist()
            assert output[-1] == EOS or length == limit
            assert EOS not in output[:-1]
            assert (found.tokens[example, place, length:] == PAD).all()
            np.testing.assert_allclose(
                found.log_probs[example, place], model.score(example, output), rtol=1e-5
            )


def test_a_key_decides_the_samples():
    model = random_model(seed=3, batch=2, vocab=11)
    run = sampler(num_samples=7)
    first, again, other = (np.asarray(run(model, jax.random.key(s)).tokens) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len({tuple(tokens) for tokens in first[0].tolist()}) > 1


def test_one_candidate_is_greedy_search():
    model = random_model(seed=4, batch=5, vocab=7)
    greedy = search_greedily(model)
    for settings in ({"top_k": 1}, {"top_p": 1e-6}, {"top_p": 1e-45}):
        np.testing.assert_array_equal(draw(model, **settings).tokens, greedy.tokens)


@pytest.mark.parametrize("temperature", [1e-320, 1e-45, 1e-38, 1e-30, 1e-5])
def test_a_temperature_near_zero_is_greedy_search(temperature):
    model = random_model(seed=4, batch=5, vocab=7)
    # As a language model's logits are: some tokens are impossible, and some values are large.
    model = model._replace(table=(1000 * model.table).at[:, PAD].set(-jnp.inf))
    greedy = search_greedily(model)
    found = draw(model, temperature=temperature, num_samples=2)
    np.testing.assert_array_equal(found.tokens, jnp.repeat(greedy.tokens, 2, axis=1))
    np.testing.assert_allclose(found.log_probs, jnp.repeat(greedy.log_probs, 2, axis=1), rtol=1e-5)


@pytest.mark.parametrize("temperature", [1e30, 1e39, 1e308])
def test_a_huge_temperature_draws_what_is_possible_alike(temperature):
    """Pearson's statistic of 4,999 tokens of six; 20.5 is its 99.9 % quantile (5 degrees)."""
    model = random_model(seed=4, batch=1, vocab=7)
    model = model._replace(table=model.table.at[:, PAD].set(-jnp.inf))
    tokens = draw(model, max_length=1, num_samples=4_999, temperature=temperature).tokens
    counts = np.bincount(np.asarray(tokens).ravel(), minlength=7)
    assert counts[PAD] == 0
    assert ((counts[1:] - 4_999 / 6) ** 2 / (4_999 / 6)).sum() < 20.52


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"above 0 and finite, got 0\.0; use greedy_search"),
        ({"temperature": -1.0}, r"above 0 and finite, got -1\.0"),
        ({"temperature": float("nan")}, "above 0 and finite, got nan"),
        ({"temperature": float("inf")}, "above 0 and finite, got inf"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0\.0"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\], got 1\.5"),
        ({"num_samples": 0}, "at least 1 hypothesis is needed, got 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        draw(random_model(seed=0, batch=2, vocab=5), **settings)
