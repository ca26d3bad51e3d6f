from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import limits_of
from history_model import EOS, PAD, HistoryModel, random_model

from flax_transformer.decoding import (
    DecodingConfig,
    History,
    beam_search,
    forbid_repeated_ngrams,
    gnmt_length_penalty,
    greedy_search,
    sample,
    search,
)
from flax_transformer.errors import UserError

LIMITS = limits_of(7)
RNG = jax.random.key(1)
SEARCHES = {
    "greedy": greedy_search,
    "beam": partial(
        beam_search, beam_size=4, length_penalty=partial(gnmt_length_penalty, alpha=0.6)
    ),
    "sample": partial(sample, rng=RNG),
}


def found(config: DecodingConfig, model: HistoryModel) -> list[list[int]]:
    """The best output of every example, without padding."""

    @jax.jit
    def run(model):
        return search(config, model.step(), model.cache(), model.prompt(), LIMITS, rng=RNG)

    best = run(model)
    lengths = best.lengths[:, 0].tolist()
    tokens = best.tokens[:, 0].tolist()
    return [row[:length] for row, length in zip(tokens, lengths, strict=True)]


@pytest.mark.parametrize("method", SEARCHES)
def test_without_rules_the_program_is_that_of_the_search_itself(method):
    model = random_model(seed=0, batch=3, vocab=7)
    inputs = (model.step(), model.cache(), model.prompt(), LIMITS)
    config = DecodingConfig(method)
    programs = [
        jax.jit(run).lower().as_text()
        for run in (
            lambda: search(config, *inputs, rng=RNG),
            lambda: SEARCHES[method](*inputs),
        )
    ]
    assert programs[0] == programs[1]


@pytest.mark.parametrize("method", SEARCHES)
def test_min_length_counts_the_prompt_and_not_the_end(method):
    model = random_model(seed=0, batch=5, vocab=7, eos_logit=9.0)
    assert min(map(len, found(DecodingConfig(method), model))) == 1
    for output in found(DecodingConfig(method, min_length=5), model):
        # The prompt has two tokens, so three must come before the end.
        assert EOS not in output[:3]
        assert len(output) >= 4
    longest = found(DecodingConfig(method, min_length=1000), model)
    assert all(len(output) == 7 and EOS not in output for output in longest)


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_occurs_twice_with_those_of_the_prompt(method, size):
    model = random_model(seed=2, batch=11, vocab=5, eos_logit=-1e9)
    outputs = found(DecodingConfig(method, no_repeat_ngram_size=size), model)
    assert size == 3 or outputs != found(DecodingConfig(method), model)
    for output in outputs:
        text = [1, 3, *output]
        ngrams = [tuple(text[place : place + size]) for place in range(len(text) - size + 1)]
        assert len(set(ngrams)) == len(ngrams)


@pytest.mark.parametrize("method", SEARCHES)
def test_an_output_ends_where_the_rules_leave_nothing_else(method):
    """Four tokens, none allowed twice, two of them in the prompt: one more, then the end."""
    model = random_model(seed=2, batch=5, vocab=4, eos_logit=-9.0)
    model = model._replace(table=model.table.at[:, PAD].set(-jnp.inf))
    config = DecodingConfig(method, no_repeat_ngram_size=1, min_length=9)
    assert found(config, model) == [[EOS]] * 5


def test_a_repetition_penalty_gives_more_different_tokens():
    model = random_model(seed=5, batch=97, vocab=7, eos_logit=-9.0)

    def count(penalty: float) -> float:
        outputs = found(DecodingConfig("greedy", repetition_penalty=penalty), model)
        return float(np.mean([len(set(output)) for output in outputs]))

    assert count(1.0) < count(2.0)


def test_an_ngram_longer_than_any_text_forbids_nothing():
    scores = jnp.ones((2, 5))
    history = History(jnp.ones((2, 3), jnp.int32), jnp.ones((2, 3), bool), jnp.int32(3))
    np.testing.assert_array_equal(forbid_repeated_ngrams(scores, history, 2**31 - 1), scores)
    with pytest.raises(ValueError, match="ngram_size must be at least 1, got 0"):
        forbid_repeated_ngrams(scores, history, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repetition_penalty": 0.0}, r"--decoding\.repetition-penalty is 0\.0: give 1 for none"),
        ({"repetition_penalty": -1.0}, r"--decoding\.repetition-penalty is -1\.0"),
        ({"repetition_penalty": float("nan")}, r"--decoding\.repetition-penalty is nan"),
        ({"repetition_penalty": 1e9}, r"--decoding\.repetition-penalty is 1000000000\.0"),
        ({"no_repeat_ngram_size": -1}, r"--decoding\.no-repeat-ngram-size must be at least 0"),
        ({"min_length": -1}, r"--decoding\.min-length must be at least 0, not -1"),
        ({"min_length": 2**40}, r"--decoding\.min-length must be at most"),
        (
            {"stop": ("a", "")},
            r"--decoding\.stop \('a', ''\) is not a tuple of non-empty te",
        ),
    ],
)
def test_impossible_rules_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        DecodingConfig(**settings)
    assert "\n" not in str(error.value)


def test_one_string_is_no_list_of_stop_strings(unchecked_types):
    settings: Any = {"stop": "abc"}
    with pytest.raises(
        UserError, match=r"--decoding\.stop 'abc' is not a tuple of non-empty texts"
    ):
        DecodingConfig(**settings)
