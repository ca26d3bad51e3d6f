"""A scheme whose functions take or return something else than a model needs is named."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional.schemes import (
    SCHEMES,
    Head,
    PositionalScheme,
    SchemeError,
    checked_scheme,
)
from flax_transformer.modules import LayerOptions
from flax_transformer.modules.multi_head_attention import MultiHeadAttention
from flax_transformer.modules.token_embedding import PositionalEmbedding

LENGTH, KEYS, WIDTH = 5, 3, 7
POSITIONS = jnp.arange(LENGTH)
X = jnp.ones((LENGTH, WIDTH))
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "encode": (POSITIONS, POSITIONS + 1, WIDTH, None),
    "encode_grid": (jnp.ones((LENGTH, 2), int), WIDTH),
    "rotate": (X, POSITIONS),
    "bias": (X, POSITIONS, jnp.arange(KEYS), Head(0, 2, True), None),
}
RETURNED = {part: (LENGTH, KEYS if part == "bias" else WIDTH) for part in ARGUMENTS}


def call(part, function):
    scheme = checked_scheme("own", PositionalScheme("of a user", **{part: function}))
    return getattr(scheme, part)(*ARGUMENTS[part])


@pytest.mark.parametrize("part", ARGUMENTS)
def test_what_fits_is_returned_as_it_is(part):
    expected = jnp.full(RETURNED[part], 2.0)
    assert call(part, lambda *_: expected) is expected


@pytest.mark.parametrize("part", ARGUMENTS)
@pytest.mark.parametrize("wrong", [(LENGTH, WIDTH + 1), (1, WIDTH), (LENGTH,), ()])
def test_another_shape_is_refused_with_both_shapes(part, wrong):
    with pytest.raises(ValueError, match=f"^{part} of the positional scheme 'own'") as raised:
        call(part, lambda *_: jnp.ones(wrong))
    assert f"returned the shape {wrong}, but must return (" in str(raised.value)
    assert str(raised.value).endswith(f") = {RETURNED[part]}")


@pytest.mark.parametrize("part", ARGUMENTS)
def test_another_number_of_arguments_is_refused(part):
    number = len(ARGUMENTS[part])
    with pytest.raises(SchemeError, match=f"^{part} of .* 'own' must take {number} arguments, "):
        call(part, lambda one: one)


def test_no_array_is_refused():
    with pytest.raises(SchemeError, match="returned NoneType, but must return"):
        call("rotate", lambda x, positions: None)


def test_a_type_error_of_the_function_itself_is_not_taken_for_its_arguments():
    with pytest.raises(TypeError, match="unsupported operand"):
        call("rotate", lambda x, positions: x + "1")


@pytest.mark.parametrize("name", SCHEMES)
def test_checked_schemes_are_those_they_were(name):
    scheme, checked = SCHEMES[name], checked_scheme(name, SCHEMES[name])
    for part in ARGUMENTS:
        assert (getattr(scheme, part) is None) == (getattr(checked, part) is None)
    if scheme.encode is not None and checked.encode is not None:
        table = jnp.ones((LENGTH, 8)) if scheme.has_table else None
        given = (POSITIONS, POSITIONS + 1, 8, table)
        np.testing.assert_array_equal(checked.encode(*given), scheme.encode(*given))


def test_modules_check_the_scheme_that_they_use(monkeypatch):
    wide = PositionalScheme(
        "too wide",
        encode=lambda positions, lengths, d_model, table: jnp.ones((len(positions), d_model + 1)),
        rotate=lambda x, positions: jnp.ones((len(positions), x.shape[1] + 1)),
    )
    monkeypatch.setitem(SCHEMES, "wide", wide)
    inputs, positions = jnp.ones((1, LENGTH, 8)), POSITIONS[None]
    embedding = PositionalEmbedding("wide", LENGTH)
    with pytest.raises(SchemeError, match=r"^encode of .* 'wide' .* \(5, 9\), .* = \(5, 8\)"):
        jax.eval_shape(embedding.init, jax.random.key(0), inputs, positions)
    attention = MultiHeadAttention(LayerOptions(d_model=8, num_heads=2, positions="wide"))
    with pytest.raises(SchemeError, match=r"^rotate of .* 'wide' .* \(5, 5\), .* = \(5, 4\)"):
        jax.eval_shape(
            lambda key: attention.init(key, inputs, positions, method="queries"), jax.random.key(0)
        )
