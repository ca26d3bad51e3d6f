import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.evaluation.wishes import Verdict, check_wishes, step_values
from flax_transformer.functional import SCHEMES, PositionalScheme

# The wishes that a scheme does not meet; one that meets all has no line.
UNMET = {
    "number": {"bounded"},
    "scaled": {"consistent"},
    "learned": {"carries_on"},
    "alibi": {"bounded"},
    "sinusoidal_2d": {"consistent"},
    "none": {"unique", "carries_on"},
}


def unmet(wishes):
    return {wish for wish, verdict in wishes.items() if not verdict.met}


@pytest.fixture(scope="module")
def wishes() -> dict[str, dict[str, Verdict]]:
    return {name: check_wishes(scheme) for name, scheme in SCHEMES.items()}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_meets_the_wishes_it_is_known_to_meet(name, wishes):
    assert unmet(wishes[name]) == UNMET.get(name, set())


@pytest.mark.parametrize(
    ("name", "wish", "figure"),
    [
        ("number", "bounded", r"in [0, 127] in 128 steps, in [0, 8,191] in 8,192"),
        ("scaled", "consistent", "distances change by 50% from 64 to 128 tokens"),
        ("scaled", "unique", "the nearest two of 128 steps are 0.0079 apart"),
        ("rotary", "consistent", "distances change by 0% from 64 to 128 tokens"),
        ("learned", "carries_on", "0 of 128 steps after the first 128 have a value"),
        ("none", "unique", "the nearest two of 128 steps are 0 apart"),
        # The first of eight heads has the slope 1/2.
        ("alibi", "bounded", "in [-63.5, 0] in 128 steps, in [-4,096, 0] in 8,192"),
    ],
)
def test_a_reason_holds_the_figure(name, wish, figure, wishes):
    assert figure in wishes[name][wish].reason


def encoding(function) -> PositionalScheme:
    """Makes a scheme of a function of positions and lengths, in one column."""
    return PositionalScheme(
        "made up",
        encode=lambda positions, lengths, _, __: function(positions * 1.0, lengths)[:, None],
    )


counter = itertools.count()


@pytest.mark.parametrize(
    ("wish", "scheme", "figure"),
    [
        ("unique", encoding(lambda i, _: jnp.where(i == 7, 5.0, i)), "are 0 apart"),
        ("unique", encoding(lambda i, _: jnp.abs(i - 7)), "are 0 apart"),
        ("consistent", encoding(lambda i, n: i * n), "change by 100%"),
        ("carries_on", encoding(lambda i, _: jnp.minimum(i, 130)), "2 of 128 steps"),
        ("carries_on", encoding(lambda i, _: jnp.where(i < 131, i, jnp.nan)), "3 of 128 steps"),
        ("bounded", encoding(lambda i, _: jnp.log1p(i)), "in [0, 4.85] in 128 steps, in [0, 9.01]"),
        ("bounded", encoding(lambda i, _: jnp.sin(i) + next(counter)), "differ by up to 1"),
    ],
)
def test_a_scheme_that_breaks_a_wish_is_found_out(wish, scheme, figure):
    verdict = check_wishes(scheme)[wish]
    assert not verdict.met
    assert figure in verdict.reason


def test_the_value_of_a_step_is_all_that_the_scheme_tells(normal):
    scheme = SCHEMES["number"]._replace(rotate=SCHEMES["rotary"].rotate, bias=SCHEMES["alibi"].bias)
    steps = jnp.array([0, 3, 5])
    values = np.asarray(step_values(scheme, steps, 7))
    assert values.shape == (3, 64 + 64 + 3)
    np.testing.assert_array_equal(values[:, 0], steps)
    np.testing.assert_array_equal(values[0, 64:128], 1)
    np.testing.assert_array_equal(values[1, 128:], [-1.5, 0, -1])
