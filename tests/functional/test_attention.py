import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer.functional import (
    attend,
    attention_scores,
    attention_weights,
    causal_mask,
    multi_head_attend,
    over_heads,
    weighted_values,
)
from flax_transformer.functional.heads import attention_implementations
from flax_transformer.functional.kernels import attention_forms

BATCH, HEADS, QUERIES, KEYS, HEAD_DIM, VALUE_DIM = 2, 3, 5, 7, 11, 13


@pytest.fixture
def inputs(normal, tolerance):
    """Query, key and value of all examples and heads; with `tolerance`, in both precisions."""
    return (
        normal(BATCH, QUERIES, HEADS, HEAD_DIM),
        normal(BATCH, KEYS, HEADS, HEAD_DIM),
        normal(BATCH, KEYS, HEADS, VALUE_DIM),
    )


@pytest.fixture
def one_head(normal):
    return normal(QUERIES, HEAD_DIM), normal(KEYS, HEAD_DIM), normal(KEYS, VALUE_DIM)


@pytest.fixture
def mask(normal):
    """A random mask in which every query of every example may attend to something."""
    return (normal(BATCH, QUERIES, KEYS) > 0).at[..., 3].set(True)


@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_heads_are_the_formula(inputs, normal, mask, tolerance, has_mask, has_bias):
    options = {
        "mask": mask if has_mask else None,
        "bias": normal(BATCH, HEADS, QUERIES, KEYS) if has_bias else None,
    }
    actual = multi_head_attend(*inputs, **options, return_weights=True)
    expected = reference.multi_head_attend(*inputs, **options)
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)


def test_vmapped_heads_equal_the_batched_form(inputs, mask, tolerance):
    query, key, value = inputs
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / HEAD_DIM**0.5
    weights = jax.nn.softmax(scores, where=mask[:, None])
    batched = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
    assert_close(multi_head_attend(query, key, value, mask=mask), batched, tolerance)


def test_a_bias_of_one_example_is_that_of_all(inputs, normal):
    bias = normal(1, HEADS, QUERIES, KEYS)
    np.testing.assert_array_equal(
        multi_head_attend(*inputs, bias=bias),
        multi_head_attend(*inputs, bias=jnp.repeat(bias, BATCH, axis=0)),
    )


@pytest.mark.parametrize("key_value_heads", [1, 2, 3, 6])
def test_groups_of_heads_share_keys_and_values(normal, mask, tolerance, key_value_heads):
    heads = 6
    query = normal(BATCH, QUERIES, heads, HEAD_DIM)
    key = normal(BATCH, KEYS, key_value_heads, HEAD_DIM)
    value = normal(BATCH, KEYS, key_value_heads, VALUE_DIM)
    options = {
        "mask": mask,
        "bias": normal(BATCH, heads, QUERIES, KEYS),
        "dropout": normal(BATCH, heads, QUERIES, KEYS),
    }
    actual = multi_head_attend(query, key, value, **options, return_weights=True)
    repeated = (jnp.repeat(x, heads // key_value_heads, axis=2) for x in (key, value))
    expected = multi_head_attend(query, *repeated, **options, return_weights=True)
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)


@pytest.mark.parametrize("axis", range(3))
def test_a_mask_broadcasts(inputs, mask, axis):
    narrow = jax.lax.slice_in_dim(mask, 0, 1, axis=axis)
    np.testing.assert_array_equal(
        multi_head_attend(*inputs, mask=narrow),
        multi_head_attend(*inputs, mask=jnp.broadcast_to(narrow, mask.shape)),
    )


def test_a_causal_output_depends_on_the_present_and_the_past_alone(one_head):
    query, key, value = one_head
    mask = causal_mask(QUERIES, KEYS)
    jacobian = jax.jacobian(lambda value: attend(query, key, value, mask=mask))(value)
    depends = jnp.any(jacobian != 0, axis=(1, 3))
    np.testing.assert_array_equal(depends, np.tri(QUERIES, KEYS, dtype=bool))


def test_masked_keys_weigh_nothing_and_the_others_sum_to_one(one_head, mask):
    weights = np.asarray(attend(*one_head, mask=mask[0], return_weights=True)[1])
    np.testing.assert_array_equal(weights > 0, mask[0])
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)


def test_masked_keys_and_values_have_no_influence(one_head, normal, mask):
    query, key, value = one_head
    masked = ~mask[0].at[:, 1].set(False).any(axis=0)
    assert masked.any()
    mask = mask[0] & ~masked
    other_key, other_value = (jnp.where(masked[:, None], 1e6, x) for x in (key, value))
    np.testing.assert_array_equal(
        attend(query, key, value, mask=mask), attend(query, other_key, other_value, mask=mask)
    )


def test_a_query_that_may_attend_to_nothing_gets_zeros_and_no_nan(one_head, mask):
    mask = mask[0].at[2].set(False)
    output, weights = attend(*one_head, mask=mask, return_weights=True)
    assert not output[2].any()
    assert not weights[2].any()

    gradients = jax.grad(lambda *x: attend(*x, mask=mask).sum(), argnums=(0, 1, 2))(*one_head)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)
    assert not gradients[0][2].any()
    assert gradients[0][1].any()


def test_dropout_multiplies_the_weights_used_but_not_those_returned(one_head, normal):
    dropout = normal(QUERIES, KEYS)
    output, weights = attend(*one_head, dropout=dropout, return_weights=True)
    np.testing.assert_array_equal(weights, attend(*one_head, return_weights=True)[1])
    assert_close(output, (weights * dropout) @ one_head[2], 1e-6)


def test_each_head_gets_its_own_dropout(inputs, normal, tolerance):
    dropout = normal(BATCH, HEADS, QUERIES, KEYS)
    output, weights = multi_head_attend(*inputs, dropout=dropout, return_weights=True)
    expected = jnp.einsum("bhqk,bkhd->bqhd", weights * dropout, inputs[2])
    assert_close(output, expected, tolerance)


def test_returning_the_weights_does_not_change_the_output(inputs, mask):
    output, _ = multi_head_attend(*inputs, mask=mask, return_weights=True)
    assert_close(multi_head_attend(*inputs, mask=mask), output, 1e-6)


def test_the_softmax_of_bfloat16_inputs_is_in_float32():
    query = jnp.array([[512, 2, 0, 0]], jnp.bfloat16)
    key = jnp.array([[1, 0, 0, 0], [1, 1, 0, 0]], jnp.bfloat16)
    # The scores 256 and 257 are one number in bfloat16.
    output, weights = attend(query, key, key, return_weights=True)
    assert (output.dtype, weights.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(weights, [jax.nn.softmax(jnp.array([256.0, 257.0]))], rtol=1e-6)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("has_mask", [False, True])
def test_derivatives_are_those_of_finite_differences(normal, mask, has_mask):
    query, key, value = normal(QUERIES, 3), normal(KEYS, 3), normal(KEYS, 2)
    masked = functools.partial(attend, mask=mask[0] if has_mask else None)
    check_grads(masked, (query, key, value), order=2)


@pytest.mark.parametrize("has_mask", [False, True])
def test_a_gradient_keeps_the_weights_and_no_other_array_of_their_size(one_head, mask, has_mask):
    masked = functools.partial(attend, mask=mask[0] if has_mask else None)
    _, gradient = jax.vjp(masked, *one_head)
    assert [kept.shape for kept in jax.tree.leaves(gradient)].count((QUERIES, KEYS)) == 1


def test_a_cpu_computes_the_weights_once_where_a_gradient_needs_them_again(one_head):
    gradient = jax.jit(jax.grad(lambda *x: attend(*x).sum()))
    assert "optimization_barrier" in gradient.lower(*one_head).as_text()
    assert "optimization_barrier" not in attend.lower(*one_head).as_text()


SHAPES = {
    "query": (QUERIES, HEAD_DIM),
    "key": (KEYS, HEAD_DIM),
    "value": (KEYS, VALUE_DIM),
}
TYPES = {"mask": bool}
HEAD_SHAPES = {name: (BATCH, shape[0], HEADS, shape[1]) for name, shape in SHAPES.items()}


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (attend, SHAPES | {"key": (7, 2)}, r"\(5, 11\) and key \(7, 2\) differ in head_dim"),
        (attend, SHAPES | {"value": (3, 13)}, r"\(7, 11\) and value \(3, 13\) differ in length"),
        (multi_head_attend, HEAD_SHAPES | {"key": (2, 7, 3, 5)}, r"5\) differ in head_dim"),
        (multi_head_attend, HEAD_SHAPES | {"value": (2, 7, 1, 13)}, "differ in length or heads"),
        (
            multi_head_attend,
            HEAD_SHAPES | {"query": (2, 5, 5, 11)},
            r"\(2, 5, 5, 11\) and key .*heads",
        ),
        (
            multi_head_attend,
            HEAD_SHAPES | {"query": (1, 5, 3, 11)},
            "differ in batch, or the key's",
        ),
        (attend, SHAPES | {"mask": (7, 5)}, r"mask \(7, 5\)"),
        (attend, SHAPES | {"mask": (2, 5, 7)}, r"mask \(2, 5, 7\)"),
        (attend, SHAPES | {"bias": (5, 11)}, r"bias \(5, 11\)"),
        (attend, SHAPES | {"dropout": (5, 1, 7)}, r"dropout \(5, 1, 7\)"),
        (multi_head_attend, HEAD_SHAPES | {"mask": (2, 7, 5)}, r"mask \(2, 7, 5\) must be"),
        (multi_head_attend, HEAD_SHAPES | {"bias": (2, 5, 5, 7)}, r"bias \(2, 5, 5, 7\) must be"),
        (multi_head_attend, HEAD_SHAPES | {"dropout": (2, 5, 7)}, r"dropout \(2, 5, 7\) must be"),
    ],
)
def test_shapes_that_do_not_fit_are_named(function, shapes, message):
    arrays = {name: jnp.zeros(shape, TYPES.get(name)) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        function(**arrays)


def test_cudnn_is_given_the_same_question(monkeypatch, normal, mask):
    """Its own kernel needs a GPU, so XLA answers in its place, from the same arguments."""
    asked = []

    def answer(*arrays, implementation, scale):
        asked.append(implementation)
        return jax.nn.dot_product_attention(*arrays, scale=scale)

    monkeypatch.setattr(attention_forms, "has_gpu", lambda: True)
    monkeypatch.setattr(attention_forms, "dot_product_attention", answer)
    query = normal(BATCH, QUERIES, 4, 8).astype(jnp.bfloat16)
    key, value = (normal(BATCH, KEYS, 2, 8).astype(jnp.bfloat16) for _ in range(2))
    bias = normal(BATCH, 4, QUERIES, KEYS)
    mask = mask.at[1, 2].set(False)
    for options in ({"scale": 0.3}, {"mask": mask}, {"mask": mask, "bias": bias}):
        fused = multi_head_attend(query, key, value, **options, implementation="cudnn")
        assert_close(fused, multi_head_attend(query, key, value, **options), 0.02)
    assert asked == 3 * ["cudnn"]


SIXTEEN = {name: jnp.zeros((2, 5, 3, 8), jnp.bfloat16) for name in SHAPES}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": jnp.ones((2, 3, 5, 5))}, "has no dropout"),
        ({"cap": 50.0}, "has no soft cap"),
        (dict.fromkeys(SHAPES, jnp.zeros((2, 5, 3, 8))), "not float32: use implementation='auto'"),
        (dict.fromkeys(SHAPES, jnp.zeros((2, 5, 3, 7), jnp.bfloat16)), "a multiple of 8"),
        ({"value": jnp.zeros((2, 5, 3, 16), jnp.bfloat16)}, r"value \(2, 5, 3, 16\)"),
        ({}, "needs an NVIDIA GPU, and there is none: use implementation='auto'"),
    ],
)
def test_cudnn_says_what_it_cannot_do(options, message):
    with pytest.raises(ValueError, match=message):
        multi_head_attend(**(SIXTEEN | options), implementation="cudnn")


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match="implementation 'cuda' must be one of 'xla', 'auto'"):
        multi_head_attend(**SIXTEEN, implementation="cuda")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("platform", "gives"), [("cpu", "f32"), ("cuda", "bf16")])
def test_only_a_cpu_gives_sums_of_16_bits_in_float32(platform, gives):
    x = jnp.zeros((3, 5), jnp.bfloat16)
    program = attend.trace(x, x, x).lower(lowering_platforms=(platform,)).as_text()
    # Of scores and of weights with values.
    assert re.findall(r"dot_general.*-> tensor<\w+x(\w+)>", program) == ["f32", gives]


@pytest.mark.parametrize("options", [{}, {"scale": 1.0}, {"cap": 0.7}, {"scale": 0.3, "cap": 2.0}])
def test_scores_are_scaled_then_capped_then_biased(tolerance, one_head, normal, options):
    query, key, value = one_head
    bias = normal(query.shape[0], key.shape[0])
    scores = np.asarray(query, np.float64) @ np.asarray(key, np.float64).T
    scores = scores * options.get("scale", query.shape[1] ** -0.5)
    if "cap" in options:
        scores = options["cap"] * np.tanh(scores / options["cap"])
    scores = scores + np.asarray(bias, np.float64)
    assert_close(attention_scores(query, key, bias=bias, **options), scores, tolerance)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    expected = weights @ np.asarray(value, np.float64)
    assert_close(attend(query, key, value, bias=bias, **options), expected, tolerance)


@pytest.mark.parametrize("implementation", ["xla", "blockwise", "auto"])
def test_all_heads_are_scaled_and_capped(normal, tolerance, implementation):
    query, key, value = (normal(2, 5, heads, 3) for heads in (4, 2, 2))
    options = {"scale": 0.3, "cap": 0.7}
    actual = multi_head_attend(query, key, value, **options, implementation=implementation)
    for head in range(4):
        one = [query[1, :, head], key[1, :, head // 2], value[1, :, head // 2]]
        assert_close(actual[1, :, head], attend(*one, **options), tolerance)


def test_the_three_parts_lifted_over_heads_are_the_whole(normal):
    query, key, value = (normal(2, 5, heads, 3) for heads in (4, 2, 2))
    mask, bias = normal(1, 5, 5) > 0, normal(1, 4, 5, 5)
    dropout = (normal(2, 4, 5, 5) > 0) * 2.0
    scores = over_heads(attention_scores, 0)(query=query, key=key, bias=bias)
    weights = over_heads(attention_weights, 0)(scores=scores, mask=mask)
    output = over_heads(weighted_values, 1)(weights=weights, value=value, dropout=dropout)
    options = {"mask": mask, "bias": bias, "dropout": dropout, "return_weights": True}
    expected, expected_weights = multi_head_attend(query, key, value, **options)
    assert_close(weights, expected_weights, 1e-6)
    assert_close(output, expected, 1e-6)


def test_weights_to_show_take_the_formula(normal):
    x = normal(1, 2, 3, 8)
    shown = [
        multi_head_attend(x, x, x, return_weights=True, implementation=name)
        for name in attention_implementations()
    ]
    for output, weights in shown:
        np.testing.assert_array_equal(output, shown[0][0])
        np.testing.assert_array_equal(weights, shown[0][1])
