import functools

import jax
import jax.numpy as jnp
import pytest
import reference
from reference import assert_close

from flax_transformer.functional import multi_head_attend
from flax_transformer.functional.heads import group_heads
from flax_transformer.functional.kernels import attention_forms
from flax_transformer.functional.kernels.attention_forms import attend_in_blocks

BATCH, QUERIES, KEYS, HEADS, KEY_VALUE_HEADS, HEAD_DIM, VALUE_DIM = 3, 5, 7, 6, 3, 11, 13
# How many positions, heads of keys and examples a block of so many scores holds; a position has
# those of two heads that share their keys. Four positions would fit where five are halved.
BLOCKS = {
    1: (1, 1, 1),
    2 * KEYS * 4: (3, 1, 1),
    2 * KEYS * QUERIES * 2: (QUERIES, 2, 1),
    HEADS * KEYS * QUERIES * 2: (QUERIES, KEY_VALUE_HEADS, 2),
    10**6: (QUERIES, KEY_VALUE_HEADS, BATCH),
}


@pytest.fixture(params=BLOCKS)
def block(request, monkeypatch):
    """How many scores a block holds, on any platform."""
    for platform in ("_CPU_BLOCK", "_ACCELERATOR_BLOCK"):
        monkeypatch.setattr(attention_forms, platform, request.param)
    return request.param


@pytest.fixture
def inputs(normal, tolerance):
    """Query, key and value of all examples and heads; with `tolerance`, in both precisions."""
    return (
        normal(BATCH, QUERIES, HEADS, HEAD_DIM),
        normal(BATCH, KEYS, KEY_VALUE_HEADS, HEAD_DIM),
        normal(BATCH, KEYS, KEY_VALUE_HEADS, VALUE_DIM),
    )


def test_a_block_holds_what_fits_in_parts_of_similar_size(inputs, block):
    heads = group_heads(query=inputs[0], key=inputs[1])
    assert attention_forms.at_once(heads, block) == BLOCKS[block]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("is_plain", [True, False], ids=["plain", "mask and bias"])
def test_blocks_are_the_formula(inputs, normal, tolerance, is_plain):
    query, key, value = inputs
    # One query may attend to nothing.
    mask = (normal(BATCH, QUERIES, KEYS) > 0).at[1, 2].set(False)
    options = {} if is_plain else {"mask": mask, "bias": normal(BATCH, HEADS, QUERIES, KEYS)}
    repeated = (jnp.repeat(x, HEADS // KEY_VALUE_HEADS, axis=2) for x in (key, value))
    expected, _ = reference.multi_head_attend(query, *repeated, **options)
    blocks = jax.jit(functools.partial(attend_in_blocks, **options))
    assert_close(blocks(*inputs), expected, tolerance)


@pytest.mark.usefixtures("block")
def test_blocks_have_the_gradients_and_the_dropout_of_all_at_once(inputs, normal, tolerance):
    mask = (normal(1, QUERIES, KEYS) > 0).at[0, 2].set(False)
    scores = BATCH, HEADS, QUERIES, KEYS
    bias, dropout, upwards = normal(*scores), normal(*scores), normal(*inputs[0].shape[:3], 1)

    def loss(attention, *arrays):
        query, key, value, bias, dropout = arrays
        return (attention(query, key, value, mask=mask, bias=bias, dropout=dropout) * upwards).sum()

    gradient = functools.partial(jax.grad, argnums=range(5))
    at_once = functools.partial(multi_head_attend, implementation="xla")
    actual, expected = (
        jax.jit(gradient(functools.partial(loss, attention)))(*inputs, bias, dropout)
        for attention in (attend_in_blocks, at_once)
    )
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)


def compiled(length, implementation, **options):
    """The gradient of attention, compiled and not run."""
    x = jax.ShapeDtypeStruct((1, length, 2, 8), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, length, length), jnp.bool)

    def loss(x, mask):
        output = multi_head_attend(x, x, x, mask=mask, implementation=implementation, **options)
        return jax.tree.leaves(output)[0].sum()

    return jax.jit(jax.grad(loss)).lower(x, mask).compile()


def temporary_bytes(*what, **options):
    analysis = compiled(*what, **options).memory_analysis()
    assert analysis is not None
    return analysis.temp_size_in_bytes


# Of two heads as many scores as a CPU takes in blocks unasked.
MANY = 2**13


def test_many_scores_are_taken_in_blocks_which_hold_less_than_all():
    all_scores = 4 * 2 * MANY**2
    assert temporary_bytes(MANY, "auto") == temporary_bytes(MANY, "blockwise") < all_scores
    assert temporary_bytes(MANY, "xla") > all_scores


def test_fewer_scores_and_weights_to_show_are_taken_at_once():
    all_scores = 4 * 2 * (MANY - 1) ** 2
    assert temporary_bytes(MANY - 1, "auto") == temporary_bytes(MANY - 1, "xla") > all_scores
    for implementation in ("auto", "blockwise"):
        shown = temporary_bytes(MANY, implementation, return_weights=True)
        assert shown == temporary_bytes(MANY, "xla", return_weights=True)


def test_an_accelerator_takes_more_scores_at_once():
    x = jax.ShapeDtypeStruct((1, MANY, 2, 8), jnp.float32)
    traced = jax.jit(lambda x: multi_head_attend(x, x, x)).trace(x)
    programs = {
        platform: traced.lower(lowering_platforms=(platform,)).as_text()
        for platform in ("cpu", "tpu")
    }
    all_scores = f"x{MANY}x{MANY}xf32"
    assert {name: all_scores in program for name, program in programs.items()} == {
        "cpu": False,
        "tpu": True,
    }


def test_blocks_are_asked_for_by_name(normal):
    x = normal(1, 2, 3, 4)
    blocks = multi_head_attend(x, x, x, implementation="blockwise")
    assert_close(blocks, multi_head_attend(x, x, x, implementation="xla"), 1e-6)
