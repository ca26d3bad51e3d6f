import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import assert_close

from flax_transformer.modules import MultiHeadAttention

BATCH, HEADS, QUERIES, KEYS, D_MODEL, KEY_DIM, VALUE_DIM = 2, 3, 5, 7, 11, 13, 17
MODULE = MultiHeadAttention(HEADS, D_MODEL, KEY_DIM, VALUE_DIM)


def attend(attention, inputs, memory, **options):
    """Cross-attention in one call; in self-attention, `memory` is the inputs."""
    return attention(inputs, attention.keys_values(memory), **options)


@pytest.fixture
def inputs(normal):
    return normal(BATCH, QUERIES, D_MODEL), normal(BATCH, KEYS, D_MODEL)


@pytest.fixture
def variables(inputs):
    return MODULE.init(jax.random.key(0), *inputs, method=attend)


@pytest.fixture
def mask(normal):
    return normal(BATCH, QUERIES, KEYS) > 0


def test_it_is_the_formula_with_its_own_parameters(inputs, variables, mask):
    output = MODULE.apply(variables, *inputs, mask=mask, method=attend)
    expected = reference.multi_head_attention(variables["params"], *inputs, mask)
    assert_close(output, expected, 1e-5)


@pytest.mark.parametrize(
    ("key_dim", "value_dim", "expected"),
    [(None, None, (4, 4)), (5, None, (5, 4)), (None, 7, (4, 7)), (5, 7, (5, 7))],
)
def test_dimensions_not_given_are_the_heads_shares(normal, key_dim, value_dim, expected):
    module = MultiHeadAttention(3, 12, key_dim, value_dim)
    inputs = normal(BATCH, QUERIES, 12)
    params = module.init(jax.random.key(0), inputs, inputs, method=attend)["params"]
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
    shared = MODULE.apply(variables, inputs, memory, mask=mask, method=attend)
    repeated = MODULE.apply(
        variables,
        inputs,
        jnp.repeat(memory, beam, axis=0),
        mask=jnp.repeat(mask, beam, axis=0),
        method=attend,
    )
    assert_close(shared, repeated, 1e-6)


def test_weights_are_stored_when_asked_for_only(inputs, variables, mask):
    assert set(variables) == {"params"}
    plain = MODULE.apply(variables, *inputs, mask=mask, method=attend)
    output, stored = MODULE.apply(
        variables, *inputs, mask=mask, method=attend, mutable=["attention"]
    )
    assert_close(output, plain, 1e-6)
    (weights,) = stored["attention"]["weights"]
    np.testing.assert_array_equal(weights > 0, jnp.repeat(mask[:, None], HEADS, axis=1))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_dropout_takes_a_share_of_the_weights(normal, rate):
    """Through value and output projections of ones, the output is the sum of the weights kept."""
    keys = 997
    module = MultiHeadAttention(1, 1, dropout_rate=rate)
    inputs, memory = normal(BATCH, QUERIES, 1), jnp.ones((BATCH, keys, 1))
    variables = module.init(jax.random.key(0), inputs, memory, method=attend)
    variables = jax.tree.map(jnp.ones_like, variables)
    kept = module.apply(
        variables,
        inputs,
        memory,
        deterministic=False,
        method=attend,
        rngs={"dropout": jax.random.key(1)},
    )
    error = 5 * np.sqrt(rate / (1 - rate) / keys)
    np.testing.assert_allclose(kept, 1, atol=error)
    assert len(np.unique(kept)) > BATCH
    deterministic = module.apply(variables, inputs, memory, method=attend)
    np.testing.assert_allclose(deterministic, 1, rtol=1e-5)


def test_bfloat16_computes_with_float32_parameters(inputs, variables, mask):
    low = MODULE.clone(dtype="bfloat16")
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(variables))
    output = low.apply(variables, *inputs, mask=mask, method=attend)
    assert output.dtype == jnp.bfloat16
    assert_close(output, MODULE.apply(variables, *inputs, mask=mask, method=attend), 0.02)
