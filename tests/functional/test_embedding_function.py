import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import embed, embed_one_hot, token_logits

VOCAB, D_MODEL = 7, 5
TOKENS = jnp.array([[3, 0, 6], [3, 3, 1]])


def one_hot(tokens):
    return (np.asarray(tokens)[..., None] == np.arange(VOCAB)).astype(np.float64)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("function", [embed, embed_one_hot])
def test_it_is_the_product_of_one_hot_vectors_with_the_table(normal, function, dtype):
    table = normal(VOCAB, D_MODEL).astype(dtype)
    expected = one_hot(TOKENS) @ np.asarray(table, np.float64)
    actual = function(TOKENS, table)
    assert actual.dtype == table.dtype
    np.testing.assert_array_equal(np.asarray(actual, np.float64), expected)


@pytest.mark.parametrize("function", [embed, embed_one_hot])
def test_its_gradient_sums_over_the_places_of_a_token(normal, function):
    table, cotangent = normal(VOCAB, D_MODEL), normal(*TOKENS.shape, D_MODEL)
    (gradient,) = jax.vjp(lambda table: function(TOKENS, table), table)[1](cotangent)
    expected = np.einsum("blv,bld->vd", one_hot(TOKENS), cotangent)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [embed, embed_one_hot])
def test_a_token_past_the_table_gives_no_wrong_row(normal, function):
    row = function(jnp.array(VOCAB), normal(VOCAB, D_MODEL))
    assert jnp.all(jnp.isnan(row) if function is embed else row == 0)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("function", [embed, embed_one_hot])
def test_a_table_that_is_no_matrix_is_refused(function):
    with pytest.raises(ValueError, match=r"table \(7,\) must be a matrix"):
        function(TOKENS, jnp.ones(7))


@pytest.mark.parametrize("cap", [None, 0.5])
@pytest.mark.parametrize("has_bias", [True, False])
def test_logits_are_products_with_the_rows_biased_then_capped(normal, tolerance, cap, has_bias):
    hidden, table, bias = normal(2, 3, D_MODEL), normal(VOCAB, D_MODEL), normal(VOCAB)
    expected = np.asarray(hidden, np.float64) @ np.asarray(table, np.float64).T
    expected = expected + np.asarray(bias, np.float64) if has_bias else expected
    expected = cap * np.tanh(expected / cap) if cap else expected
    assert_close(token_logits(hidden, table, bias if has_bias else None, cap), expected, tolerance)


@pytest.mark.usefixtures("unchecked_types")
def test_a_bias_of_another_vocabulary_is_refused(normal):
    with pytest.raises(ValueError, match=r"bias \(3,\) does not fit table \(7, 5\)"):
        token_logits(normal(2, D_MODEL), normal(VOCAB, D_MODEL), normal(3))
