import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jaxtyping import Array
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.errors import UserError
from flax_transformer.functional import SCHEMES, Positions
from flax_transformer.modules import LayerOptions, MultiHeadAttention
from flax_transformer.modules.layers import attend_to_shared

pytestmark = pytest.mark.platforms

BATCH, HEADS, QUERIES, KEYS, D_MODEL, KEY_DIM, VALUE_DIM = 2, 3, 5, 7, 11, 13, 17
OPTIONS = LayerOptions(num_heads=HEADS, d_model=D_MODEL, key_dim=KEY_DIM, value_dim=VALUE_DIM)
MODULE = MultiHeadAttention(OPTIONS)


def with_options(**changes: Any) -> MultiHeadAttention:
    return MultiHeadAttention(OPTIONS.of_layer(**changes))


def attend(attention: Any, inputs: Array, memory: Array, **options: Any) -> Array:
    """Lets inputs attend to memory, as one method of the module."""
    return attention(inputs, attention.keys_values(memory), **options)


def apply(variables: Any, *inputs: Array, module: Any = MODULE, **options: Any) -> Any:
    return module.apply(variables, *inputs, method=attend, **options)


def inside_attention(scheme: str) -> bool:
    return SCHEMES[scheme].rotate is not None or SCHEMES[scheme].bias is not None


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
    module = MultiHeadAttention(
        LayerOptions(num_heads=3, d_model=12, key_dim=key_dim, value_dim=value_dim)
    )
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


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(
        UserError, match=r"^--model.d-model 11 is not a multiple of --model.num-heads 3"
    ):
        LayerOptions(num_heads=HEADS, d_model=D_MODEL)


def test_groups_of_heads_share_projections(normal, mask):
    """With the shared keys and values written out for every head, the formula is the plain one."""
    module = with_options(num_heads=4, num_key_value_heads=2)
    inputs = normal(BATCH, QUERIES, D_MODEL), normal(BATCH, KEYS, D_MODEL)
    variables = draw_parameters(module, *inputs, method=attend)
    params = variables["params"]
    assert params["key"]["kernel"].shape == (D_MODEL, 2, KEY_DIM)
    assert params["value"]["kernel"].shape == (D_MODEL, 2, VALUE_DIM)
    written_out = params | {
        name: {"kernel": jnp.repeat(params[name]["kernel"], 2, axis=1)} for name in ("key", "value")
    }
    expected = reference.multi_head_attention(written_out, *inputs, mask=mask)
    assert_close(apply(variables, *inputs, module=module, mask=mask), expected, 1e-5)


def test_heads_that_cannot_be_shared_evenly_are_refused():
    with pytest.raises(
        UserError, match=r"num-heads 3 is not a multiple of --model.num-key-value-heads 2"
    ):
        with_options(num_key_value_heads=2)


def test_biases_are_added_after_each_projection(inputs, mask):
    module = with_options(attention_bias=True)
    variables = draw_parameters(module, *inputs, method=attend)
    params: Any = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])

    def project(name, x):
        return np.einsum("bld,dhk->blhk", x, params[name]["kernel"]) + params[name]["bias"]

    heads, _ = reference.multi_head_attend(
        project("query", inputs[0]), project("key", inputs[1]), project("value", inputs[1]), mask
    )
    output = params["output"]
    expected = np.einsum("blhv,hvd->bld", heads, output["kernel"]) + output["bias"]
    assert_close(apply(variables, *inputs, module=module, mask=mask), expected, 1e-5)


def test_normalized_queries_and_keys_do_not_depend_on_their_size(inputs, mask):
    module = with_options(normalize_query_key=True)
    variables = draw_parameters(module, *inputs, method=attend)
    params = variables["params"]
    larger = params | {
        name: {"kernel": factor * params[name]["kernel"]}
        for name, factor in (("query", 3.0), ("key", 5.0))
    }
    output = apply(variables, *inputs, module=module, mask=mask)
    assert_close(apply({"params": larger}, *inputs, module=module, mask=mask), output, 1e-4)
    # With the gains at zero all scores are zero: the mean of the values.
    flat = params | {"query_scale": jnp.zeros(KEY_DIM)}
    kernels = {name: params[name] for name in ("query", "key", "value", "output")}
    kernels["query"] = {"kernel": jnp.zeros_like(params["query"]["kernel"])}
    expected = reference.multi_head_attention(kernels, *inputs, mask=mask)
    assert_close(apply({"params": flat}, *inputs, module=module, mask=mask), expected, 1e-5)


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if inside_attention(name)])
class TestSchemesInsideAttention:
    def attention(self, scheme, normal):
        """Self-attention at given positions, as a function of inputs and positions."""
        module = with_options(positions=scheme)
        inputs = normal(BATCH, QUERIES, D_MODEL)

        def attend_at(attention, inputs, query, key):
            keys_values = attention.keys_values(inputs, key)
            return attention(inputs, keys_values, positions=Positions(query, key))

        places = jnp.broadcast_to(jnp.arange(QUERIES), (BATCH, QUERIES))
        variables = draw_parameters(module, inputs, places, places, method=attend_at)
        apply_at: Any = functools.partial(module.apply, variables, inputs, method=attend_at)
        return apply_at, places

    def test_only_distances_count(self, scheme, normal):
        apply_at, places = self.attention(scheme, normal)
        shift = jnp.array([[17], [3]])
        assert_close(apply_at(places + shift, places + shift), apply_at(places, places), 1e-4)
        assert jnp.abs(apply_at(places + 2, places) - apply_at(places, places)).max() > 1e-3

    def test_each_row_has_its_own_positions(self, scheme, normal):
        apply_at, places = self.attention(scheme, normal)
        other = places.at[1].set(places[1, ::-1])
        changed = jnp.abs(apply_at(other, places) - apply_at(places, places)).max(axis=(1, 2))
        assert changed[0] < 1e-6
        assert changed[1] > 1e-3

    def test_positions_are_asked_for(self, scheme, inputs):
        with pytest.raises(ValueError, match=f"scheme '{scheme}' needs positions"):
            with_options(positions=scheme).init(jax.random.key(0), *inputs, method=attend)


def test_hypotheses_of_an_example_share_its_keys(normal, variables, mask):
    beam = 3
    inputs, memory = normal(BATCH * beam, QUERIES, D_MODEL), normal(BATCH, KEYS, D_MODEL)
    mask = mask[:, :1]

    def attend_as_members(attention, inputs, memory):
        return attend_to_shared(attention, inputs, attention.keys_values(memory), mask=mask)

    shared = MODULE.apply(variables, inputs, memory, method=attend_as_members)
    memory, mask = (jnp.repeat(x, beam, axis=0) for x in (memory, mask))
    repeated = apply(variables, inputs, memory, mask=mask)
    assert_close(shared, repeated, 1e-6)


def test_weights_are_stored_when_asked_for_only(inputs, variables, mask):
    assert set(variables) == {"params"}
    output, stored = apply(variables, *inputs, mask=mask, mutable=["activations"])
    assert_close(output, apply(variables, *inputs, mask=mask), 1e-6)
    weights = stored["activations"]["weights"]
    np.testing.assert_array_equal(weights > 0, jnp.repeat(mask[:, None], HEADS, axis=1))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_dropout_takes_a_share_of_the_weights(normal, rate):
    """Through value and output projections of ones, the output is the sum of the weights kept."""
    keys = 997
    module = MultiHeadAttention(LayerOptions(num_heads=1, d_model=1, attention_dropout_rate=rate))
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
    module = with_options(dtype="bfloat16")
    low_variables = draw_parameters(module, *inputs, method=attend)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(low_variables))
    output = apply(variables, *inputs, module=module, mask=mask)
    assert output.dtype == jnp.bfloat16
    assert_close(output, apply(variables, *inputs, mask=mask), 0.02)
