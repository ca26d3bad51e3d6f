import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import limits_of
from history_model import random_model

from flax_transformer.decoding import (
    DecodingConfig,
    beam_search,
    gnmt_length_penalty,
    greedy_search,
    power_length_penalty,
    sample,
    search,
)
from flax_transformer.errors import UserError

LIMITS = limits_of(7, jnp.array([7, 5, 2]))
RNG = jax.random.key(1)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DecodingConfig("greedy"), greedy_search),
        (
            DecodingConfig(num_best=3),
            partial(
                beam_search,
                beam_size=4,
                num_best=3,
                length_penalty=partial(gnmt_length_penalty, alpha=0.6),
            ),
        ),
        (
            DecodingConfig("beam", beam_size=2, length_penalty="power", alpha=1.0),
            partial(
                beam_search, beam_size=2, length_penalty=partial(power_length_penalty, alpha=1.0)
            ),
        ),
        (
            DecodingConfig(beam="refill", alpha=1.0),
            partial(
                beam_search,
                beam_size=4,
                refill=True,
                length_penalty=partial(gnmt_length_penalty, alpha=1.0),
            ),
        ),
        (
            DecodingConfig("sample", num_best=5, temperature=0.5, top_k=3, top_p=0.9),
            partial(
                sample,
                rng=RNG,
                num_samples=5,
                temperature=0.5,
                top_k=3,
                top_p=0.9,
            ),
        ),
    ],
)
def test_the_config_names_the_search(config, expected):
    model = random_model(seed=0, batch=3, vocab=7)

    def run(model):
        inputs = (model.step(), model.cache(), model.prompt(), LIMITS)
        return search(config, *inputs, rng=RNG), expected(*inputs)

    jax.tree.map(np.testing.assert_array_equal, *jax.jit(run)(model))


def test_sampling_without_a_key_is_refused():
    model = random_model(seed=0, batch=3, vocab=7)
    with pytest.raises(ValueError, match="pass rng"):
        search(DecodingConfig("sample"), model.step(), model.cache(), model.prompt(), LIMITS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "--decoding.beam-size must be at least 1, not 0"),
        ({"num_best": 0}, "--decoding.num-best must be at least 1, not 0"),
        ({"max_extra_length": 0}, "--decoding.max-extra-length must be at least 1, not 0"),
        ({"top_k": 0}, "--decoding.top-k must be at least 1, not 0"),
        ({"alpha": -0.1}, r"--decoding.alpha must be 0 or positive, not -0\.1"),
        (
            {"temperature": 0.0},
            r"temperature must be positive, not 0\.0: for 0 give .* greedy",
        ),
        ({"top_p": 0.0}, r"--decoding.top-p must be in \(0, 1\], not 0\.0"),
        ({"top_p": 1.1}, r"--decoding.top-p must be in \(0, 1\], not 1\.1"),
        ({"num_best": 5}, "method beam finds at most 4: raise --decoding.beam-size"),
        ({"method": "greedy", "num_best": 2}, "method greedy finds at most 1: give another method"),
    ],
)
def test_impossible_values_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        dataclasses.replace(DecodingConfig(), **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "name", "meant"),
    [("method", "baem", "beam"), ("beam", "refil", "refill"), ("length-penalty", "powr", "power")],
)
def test_a_misspelled_name_gets_a_suggestion(field, name, meant):
    config = DecodingConfig()
    # The type checker of the tests would refuse the name before the config sees it.
    object.__setattr__(config, field.replace("-", "_"), name)
    with pytest.raises(
        UserError, match=f"unknown --decoding.{field} '{name}': did you mean '{meant}'"
    ):
        config.__post_init__()


def test_samples_may_be_more_than_a_beam():
    assert DecodingConfig("sample", num_best=7).num_best == 7
