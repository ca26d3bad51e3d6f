from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jaxtyping import Array
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.modules import MultiHeadAttention

BATCH, HEADS, QUERIES, KEYS, D_MODEL, KEY_DIM, VALUE_DIM = 2, 3, 5, 7, 11, 13, 17
MODULE = MultiHeadAttention(HEADS, D_MODEL, KEY_DIM, VALUE_DIM)


def attend(attention: Any, inputs: Array, memory: Array, **options: Any) -> Array:
    """Lets inputs attend to memory, as one method of the module."""
    return attention(inputs, attention.keys_values(memory), **options)


def apply(variables: Any, *inputs: Array, module: Any = MODULE, **options: Any) -> Any:
    return module.apply(variables, *inputs, method=attend, **options)


@pytest.fixture
def inputs(normal):
    return normal(BATCH, QUERIES, D_MODEL), normal(BATCH, KEYS, D_MODEL)


@pytest.fixture
def variables(inputs):
    return draw_parameters(MODULE, *inputs, method=attend)


@pytest.fixture
def mask(normal):
    return normal(BATCH, QUERIES, KEYS) > 0


def test_it_is_the_formula_with_its_own_parameters(inputs, variables, mask):
    output = apply(variables, *inputs, mask=mask)
    expected = reference.multi_head_attention(variables["params"], *inputs, mask=mask)
    assert_close(output, expected, 1e-5)


@pytest.mark.parametrize(
    ("key_dim", "value_dim", "expected"),
    [(None, None, (4, 4)), (5, None, (5, 4)), (None, 7, (4, 7)), (5, 7, (5, 7))],
)
def test_dimensions_not_given_are_the_heads_shares(normal, key_dim, value_dim, expected):
    module = MultiHeadAttention(3, 12, key_dim, value_dim)
    inputs = normal(BATCH, QUERIES, 12)
    params = draw_parameters(module, inputs, inputs, method=attend)["params"]
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    key_dim, value_dim = expected
    assert shapes == {
        "query": (12, 3, key_dim),
        "key": (12, 3, key_dim),
        "value": (12, 3, value_dim),
        "output": (3, value_dim, 12),
    }


def test_a_width_that_heads_cannot_share_is_refused(normal):
    inputs = normal(BATCH, QUERIES, D_MODEL)
    with pytest.raises(ValueError, match="d_model 11 is no multiple of 3 heads"):
        MultiHeadAttention(HEADS, D_MODEL).init(jax.random.key(0), inputs, inputs, method=attend)


def test_hypotheses_of_an_example_share_its_keys(normal, variables, mask):
    beam = 3
    inputs, memory = normal(BATCH * beam, QUERIES, D_MODEL), normal(BATCH, KEYS, D_MODEL)
    mask = mask[:, :1]
    shared = apply(variables, inputs, memory, mask=mask)
    memory, mask = (jnp.repeat(x, beam, axis=0) for x in (memory, mask))
    repeated = apply(variables, inputs, memory, mask=mask)
    assert_close(shared, repeated, 1e-6)


def test_weights_are_stored_when_asked_for_only(inputs, variables, mask):
    assert set(variables) == {"params"}
    output, stored = apply(variables, *inputs, mask=mask, mutable=["attention"])
    assert_close(output, apply(variables, *inputs, mask=mask), 1e-6)
    (weights,) = stored["attention"]["weights"]
    np.testing.assert_array_equal(weights > 0, jnp.repeat(mask[:, None], HEADS, axis=1))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_dropout_takes_a_share_of_the_weights(normal, rate):
    """Through value and output projections of ones, the output is the sum of the weights kept."""
    keys = 997
    module = MultiHeadAttention(1, 1, dropout_rate=rate)
    inputs, memory = normal(BATCH, QUERIES, 1), jnp.ones((BATCH, keys, 1))
    variables = draw_parameters(module, inputs, memory, method=attend)
    variables = jax.tree.map(jnp.ones_like, variables)
    dropout = {"deterministic": False, "rngs": {"dropout": jax.random.key(1)}}
    kept = apply(variables, inputs, memory, module=module, **dropout)
    error = 5 * np.sqrt(rate / (1 - rate) / keys)
    np.testing.assert_allclose(kept, 1, atol=error)
    assert len(np.unique(kept)) > BATCH
    np.testing.assert_allclose(apply(variables, inputs, memory, module=module), 1, rtol=1e-5)


def test_bfloat16_computes_with_float32_parameters(inputs, variables, mask):
    module = MODULE.clone(dtype="bfloat16")
    low_variables = draw_parameters(module, *inputs, method=attend)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(low_variables))
    output = apply(variables, *inputs, module=module, mask=mask)
    assert output.dtype == jnp.bfloat16
    assert_close(output, apply(variables, *inputs, mask=mask), 0.02)
