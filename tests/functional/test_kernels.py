"""Every kernel computes its formula, and no program for an accelerator has the form of a CPU."""

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from function_examples import Draw
from reference import assert_close

from flax_transformer.functional import linear_cross_entropy, multi_head_attend, project
from flax_transformer.functional.kernels import (
    KERNELS,
    Kernel,
    attention_forms,
    chunked_losses,
    formula,
    formulas_only,
    kernel,
)
from flax_transformer.functional.kernels.attention_forms import has_gpu
from flax_transformer.functional.ranking import argmax
from flax_transformer.models import EncoderDecoderConfig

pytestmark = pytest.mark.platforms
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.03}
# Small enough that the small examples below have several blocks and chunks.
SMALL = {"_CPU_BLOCK": 2**6, "_ACCELERATOR_BLOCK": 2**5, "_CPU_MANY": 2**6}
VOCAB = 11


def attention(draw: Draw, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of scores, what may be attended to, keys and values that two heads share."""
    arrays = {
        "query": draw.normal(2, 5, 4, 8),
        "key": draw.normal(2, 7, 2, 8),
        "value": draw.normal(2, 7, 2, 8),
        "mask": draw.mask(2, 5, 7),
        "bias": draw.normal(2, 4, 5, 7),
    }
    return arrays, {"scale": 0.3} | options


def weighted(draw: Draw) -> dict[str, Any]:
    return {"targets": draw.ids(VOCAB, 2, 3), "weights": draw.positive(2, 3)}


# Arrays by name, in the order of the arguments, and what is not an array.
EXAMPLES: dict[str, Callable[[Draw], tuple[dict[str, Any], dict[str, Any]]]] = {
    "softmax": lambda draw: ({"scores": draw.normal(5, 7), "mask": draw.mask(5, 7)}, {}),
    "unit_mean_square": lambda draw: ({"vectors": draw.normal(3, 5)}, {"epsilon": 1e-6}),
    "cross_entropy": lambda draw: (
        {"logits": draw.normal(2, 3, VOCAB), **weighted(draw)},
        {"label_smoothing": 0.1, "smoothing_over": "others"},
    ),
    "linear_cross_entropy": lambda draw: (
        {
            "hidden": draw.normal(2, 3, 5),
            "table": draw.normal(VOCAB, 5),
            "bias": draw.normal(VOCAB),
            **weighted(draw),
        },
        {"label_smoothing": 0.1, "smoothing_over": "vocab", "cap": 2.0},
    ),
    "product": lambda draw: ({"inputs": draw.normal(3, 5), "kernel": draw.normal(5, 7)}, {}),
    "weighted_sum": lambda draw: ({"weights": draw.positive(5, 7), "value": draw.normal(7, 2)}, {}),
    "random_trials": lambda draw: (
        {
            "key": draw.ids(2**30, 2).astype(np.uint32),
            "rows": draw.ids(2**30, 3).astype(np.uint32),
        },
        {"threshold": 2**14, "num_blocks": 13},
    ),
    "cache_write": lambda draw: (
        {"array": draw.normal(2, 11, 3), "block": draw.normal(2, 4, 3), "start": draw.ids(7)},
        {"axis": 1},
    ),
    "top_k": lambda draw: ({"values": draw.normal(3, 1009)}, {"k": 4}),
    "argmax": lambda draw: ({"values": draw.normal(3, 1009)}, {}),
    "auto": attention,
    "blockwise": functools.partial(attention, cap=2.0),
    "cudnn": attention,
}


@pytest.fixture(autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SMALL.items():
            patch.setattr(attention_forms, name, size)
        for name in ("_CPU_CHUNK", "_ACCELERATOR_CHUNK"):
            patch.setattr(chunked_losses, name, 2 * VOCAB)
        yield


def is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def functions(name: str, dtype: str, seed: int = 0) -> tuple[list[Any], list[Any]]:
    """Kernel and formula as functions of the floating arrays, or of all if none is, and these."""
    arrays, options = EXAMPLES[name](Draw(seed))
    if name == "cudnn" and (dtype != "bfloat16" or not has_gpu()):
        pytest.skip("cudnn attention needs a GPU of NVIDIA, and 16 bits")
    given = {
        key: jnp.asarray(x, dtype if is_float(x) and key != "weights" else None)
        for key, x in arrays.items()
    }
    if name == "weighted_sum":
        given["weights"] = given["weights"].astype(dtype)
    floating = [key for key, x in given.items() if is_float(x)] or list(given)

    def of_floats(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            return function(**given | dict(zip(floating, values, strict=True)), **options)

        return call

    return [of_floats(f(name)) for f in (kernel, formula)], [given[key] for key in floating]


def outputs(tree: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if x.dtype != jax.dtypes.float0]


def check(actual: Any, expected: Any, tolerance: float) -> None:
    """Whole numbers are the same; others agree to a share of the largest."""
    for x, y in zip(outputs(actual), outputs(expected), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if is_float(x):
            assert_close(np.asarray(x, np.float64), np.asarray(y, np.float64), tolerance)
        else:
            np.testing.assert_array_equal(x, y)


NAMES = pytest.mark.parametrize("name", EXAMPLES)
TYPES = pytest.mark.parametrize("dtype", TOLERANCE)
GIVE_FLOATS = sorted(EXAMPLES.keys() - {"random_trials", "argmax"})
HAVE_GRADIENTS = pytest.mark.parametrize("name", GIVE_FLOATS)


def test_every_kernel_has_an_example():
    assert EXAMPLES.keys() == KERNELS.keys()


@NAMES
@TYPES
def test_a_kernel_computes_its_formula(name, dtype):
    forms, arrays = functions(name, dtype)
    check(*[form(*arrays) for form in forms], tolerance=TOLERANCE[dtype])
    check(*[jax.jit(form)(*arrays) for form in forms], tolerance=TOLERANCE[dtype])


@NAMES
@TYPES
def test_a_kernel_computes_its_formula_under_vmap(name, dtype):
    forms, arrays = functions(name, dtype)
    stacked = [jnp.stack([x, 2 * x, x + 1]) for x in arrays]
    check(*[jax.jit(jax.vmap(form))(*stacked) for form in forms], tolerance=TOLERANCE[dtype])


def directions(arrays: list[Any]) -> list[Any]:
    """Numbers of many sizes, of the shapes and types of the arrays."""
    return [jnp.cos(jnp.arange(x.size) + 1.0).reshape(x.shape).astype(x.dtype) for x in arrays]


@HAVE_GRADIENTS
@TYPES
def test_a_kernel_has_the_gradients_of_its_formula(name, dtype):
    forms, arrays = functions(name, dtype)

    def gradients(form: Callable[..., Any], *arrays: Any) -> Any:
        def floats(*values: Any) -> list[Any]:
            return [x for x in jax.tree.leaves(form(*values)) if is_float(x)]

        values, pull = jax.vjp(floats, *arrays)
        return pull(directions(values))

    found = [jax.jit(functools.partial(gradients, form))(*arrays) for form in forms]
    check(*found, tolerance=TOLERANCE[dtype])


@HAVE_GRADIENTS
@TYPES
def test_a_kernel_is_differentiated_in_forward_mode_or_says_why_not(name, dtype):
    forms, arrays = functions(name, dtype)

    def tangents(form: Callable[..., Any]) -> Any:
        return jax.jit(lambda *x: outputs(jax.jvp(form, x, tuple(directions(list(x))))))(*arrays)

    of_formula = tangents(forms[1])
    try:
        of_kernel = tangents(forms[0])
    except TypeError:
        assert KERNELS[name].no_forward_mode
    else:
        # Of products only those of 16 bits have none.
        assert not KERNELS[name].no_forward_mode or (name, dtype) == ("product", "float32")
        check(of_kernel, of_formula, TOLERANCE[dtype])


def test_a_kernel_from_outside_is_taken_by_its_name(monkeypatch, normal):
    """As a way to attend, and in place of one that is there."""
    x = normal(2, 3, 4, 8)
    place = KERNELS["blockwise"].formula
    monkeypatch.setitem(KERNELS, "zeros", Kernel(place, lambda *x, **_: 0 * x[0], "if asked for"))
    assert not multi_head_attend(x, x, x, implementation="zeros").any()
    monkeypatch.setitem(KERNELS, "argmax", KERNELS["argmax"]._replace(kernel=lambda values: 3))
    assert argmax(jnp.zeros(5)) == 3


def test_losses_leave_out_what_weighs_nothing_in_their_formulas_too(normal):
    weights, targets = jnp.array([1.0, 0.0, 2.0]), jnp.array([3, -7, 1])
    hidden, table = normal(3, 5).at[1].set(jnp.nan), normal(VOCAB, 5)
    options = {"label_smoothing": 0.1, "smoothing_over": "vocab", "cap": None}

    def loss(hidden: Any, table: Any) -> Any:
        return formula("linear_cross_entropy")(hidden, table, None, targets, weights, **options)

    total, (by_hidden, by_table) = jax.value_and_grad(loss, (0, 1))(hidden, table)
    assert all(np.isfinite(x).all() for x in (total, by_hidden, by_table))
    assert not by_hidden[1].any()


# What only a CPU wants, in the text of a program: barriers against computing again; the loop of
# random trials; products of 16 bits that are rounded after they are summed in float32; whole
# numbers written into a cache; a search by blocks, which sorts.
CPU_FORMS = {
    "barrier": r"optimization_barrier",
    "trials in a loop": r"dynamic_update_slice[^\n]*tensor<2x\d+x\d+xui32>",
    "wide product": r"dot_general[^\n]*bf16>, tensor<(?:40|48)x(?:40|48)xbf16>\) -> [^\n]*xf32>",
    "whole numbers": r"bitcast_convert[^\n]*bf16>\) -> tensor<[^\n]*ui16>",
    "search by blocks": r"stablehlo\.sort",
}
VOCABULARY = 1013  # of a size of its own, so that products that make logits are told apart


def exported(function: Callable[..., Any], platform: str, *arrays: Any) -> str:
    return jax.export.export(jax.jit(function), platforms=[platform])(*arrays).mlir_module()


def found_forms(programs: list[str]) -> set[str]:
    return {name for name, form in CPU_FORMS.items() if any(re.search(form, x) for x in programs)}


@pytest.fixture(scope="module")
def programs() -> dict[str, list[str]]:
    """A training step and a step of greedy decoding, for each platform."""
    config = EncoderDecoderConfig(
        d_model=40,
        d_ff=48,
        num_heads=4,
        num_encoder_layers=1,
        num_decoder_layers=1,
        attention_dropout_rate=0.1,
        dtype="bfloat16",
    )
    model = config.build(vocab_size=VOCABULARY)
    tokens = jax.random.randint(jax.random.key(0), (4, 21), 0, VOCABULARY)
    ones = jnp.ones_like(tokens)
    variables = jax.eval_shape(model.init, jax.random.key(1), tokens, tokens)
    cache = jax.eval_shape(lambda v: model.apply(v, tokens, 13, method="start"), variables)

    def factors(model: Any, *inputs: Any, **options: Any) -> Any:
        return model.embedding.logit_factors(model.represent(*inputs, **options))

    def loss(variables: Any, tokens: Any, rng: Any) -> Any:
        hidden, table, *_ = model.apply(
            variables,
            tokens,
            tokens,
            source_segments=ones,
            target_segments=ones,
            deterministic=False,
            rngs={"dropout": rng},
            method=factors,
        )
        return linear_cross_entropy(hidden, table, tokens, jnp.ones(tokens.shape), 0.1)[0]

    def decode(variables: Any, tokens: Any, cache: Any) -> Any:
        logits, cache = model.apply(variables, tokens, cache, method="decode")
        return argmax(logits), cache

    rng = jax.random.PRNGKey(2)
    return {
        platform: [
            exported(jax.grad(loss), platform, variables, tokens, rng),
            exported(decode, platform, variables, tokens[:, :1], cache),
        ]
        for platform in ("cpu", "tpu", "cuda")
    }


def test_a_program_for_a_cpu_has_every_form_of_a_cpu(programs):
    assert found_forms(programs["cpu"]) == CPU_FORMS.keys()


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_a_program_for_an_accelerator_has_no_form_of_a_cpu(programs, platform):
    assert not found_forms(programs[platform])


def test_formulas_are_taken_if_asked_for(normal):
    def program() -> str:
        x = normal(3, 5).astype(jnp.bfloat16)
        return jax.jit(project).lower(x, x.T).as_text()

    assert "xf32>" in program()
    with formulas_only():
        assert "xf32>" not in program()
    assert "xf32>" in program()
