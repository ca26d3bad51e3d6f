"""Every model is exported once, for any batch and length, and gives the model's own outputs."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from reference import assert_close
from small_models import LENGTH, MODELS, VOCAB, decoder, translator

pytestmark = pytest.mark.usefixtures("unchecked_types", "quickly_compiled")
# Run as well as exported: one of each kind, for running takes its time.
RUN = [
    "translator",
    "gpt2-small",
    "bert-base",
    "ViT-S/16",
    "ViViT-B/16x2",
    "ViViT-B/16x2-factorized-encoder",
    "ViViT-B/16x2-factorized-self-attention",
    "ViViT-B/16x2-factorized-dot-product",
    "translator window",
    "decoder blockwise",
    "encoder convolution",
]


def symbolic_inputs(small: Any) -> list[jax.ShapeDtypeStruct]:
    """Inputs of any batch, and of texts of any length."""
    scope = export.SymbolicScope()
    (batch,) = export.symbolic_shape("batch", scope=scope)
    shapes = []
    for array, length in zip(small.inputs, ("length", "target_length"), strict=False):
        (symbol,) = export.symbolic_shape(length, scope=scope)
        rest = (symbol,) if array.ndim == 2 else array.shape[1:]
        shapes.append(jax.ShapeDtypeStruct((batch, *rest), array.dtype))
    return shapes


def exported(small: Any) -> Any:
    variables = jax.eval_shape(small.init)
    apply = jax.jit(lambda variables, *inputs: small.apply(variables, *inputs))
    return export.export(apply)(variables, *symbolic_inputs(small))


@pytest.mark.parametrize("name", [name for name in MODELS if name not in RUN])
def test_a_model_is_exported_for_any_batch_and_length(name):
    (outputs,) = exported(MODELS[name]).out_avals
    assert not isinstance(outputs.shape[0], int)


@pytest.mark.parametrize("name", RUN)
def test_an_exported_model_computes_what_the_model_does(name):
    small = MODELS[name]
    program = exported(small)
    variables = small.draw()
    for rows, length in ((2, LENGTH), (3, 5)):
        inputs = [
            jnp.asarray(np.resize(x, (rows, *((length,) if x.ndim == 2 else x.shape[1:]))))
            for x in small.inputs
        ]
        actual = program.call(variables, *inputs)
        assert_close(actual, jax.jit(small.apply)(variables, *inputs), 1e-5)


@pytest.mark.parametrize("small", [translator(), decoder()], ids=["translator", "decoder"])
def test_cached_decoding_is_exported_for_any_batch_and_capacity(small):
    is_translator = len(small.inputs) == 2
    apply = functools.partial(small.model.apply, small.draw())
    scope = export.SymbolicScope()
    batch, length, capacity = export.symbolic_shape("batch, length, capacity", scope=scope)

    def start(source: Any, capacity: Any) -> Any:
        if is_translator:
            return apply(source, capacity, method="start")
        return apply(source.shape[0], capacity, method="start")

    source = jax.ShapeDtypeStruct((batch, length), jnp.int32)
    room = jax.eval_shape(lambda source: start(source, capacity), source)
    token = jax.ShapeDtypeStruct((batch, 1), jnp.int32)
    decode = jax.jit(lambda tokens, cache: apply(tokens, cache, method="decode"))
    program = export.export(decode)(token, room)
    drawn = np.random.default_rng(1)
    for rows, places in ((2, 3), (3, 5)):
        sources = jnp.asarray(drawn.integers(3, VOCAB, (rows, 4), np.int32))
        expected_cache = actual_cache = start(sources, places)
        for _ in range(2):
            tokens = jnp.asarray(drawn.integers(3, VOCAB, (rows, 1), np.int32))
            actual, actual_cache = program.call(tokens, actual_cache)
            expected, expected_cache = decode(tokens, expected_cache)
            assert_close(actual, expected, 1e-5)
