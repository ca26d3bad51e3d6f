"""Comparison of our layers with those of PyTorch: the outputs, and the gradients of the inputs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.functional import Layout
from flax_transformer.modules import DecoderLayer, EncoderLayer, LayerOptions

# Tests take PyTorch from here, before anything else that needs it, and are skipped without it.
torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[parity]'")

BATCH, LENGTH, MEMORY_LENGTH, HEADS, D_MODEL, D_FF = 2, 5, 7, 3, 33, 13
# Real tokens of each row, padding on the right in one and on the left in the other.
IS_TOKEN = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]], bool)
IS_MEMORY = np.array([[0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]], bool)
CAUSAL = np.tri(LENGTH, dtype=bool)
SQUARE = (BATCH, LENGTH, LENGTH)
OPTIONS = LayerOptions(num_heads=HEADS, d_model=D_MODEL, d_ff=D_FF, attention_bias=True)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def assert_agreement(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    inputs: list[np.ndarray],
    is_token: np.ndarray | None = None,
) -> None:
    """Asserts that two functions agree to 1e-5 where there are tokens.

    Args:
        ours: of JAX arrays.
        theirs: of as many tensors.
        inputs: float32.
        is_token: rows of the output that count; systems differ at padding.
    """
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    expected = theirs(*tensors)
    counts = np.ones(expected.shape[:-1], bool) if is_token is None else is_token
    direction = draw(*expected.shape, seed=1) * counts[..., None]
    expected.backward(torch.tensor(direction))

    @jax.jit
    def output_and_gradients(inputs, direction):
        output, pull_back = jax.vjp(ours, *inputs)
        return output, pull_back(direction)

    output, gradients = output_and_gradients(list(map(jnp.asarray, inputs)), direction)
    assert_close(output[counts], expected.detach().numpy()[counts], 1e-5)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        assert tensor.grad is not None
        assert_close(gradient, tensor.grad.numpy(), 1e-5)


def encode(params: Any, mask: np.ndarray, **options: Any) -> Callable[..., Any]:
    """Our encoder layer with given parameters, as a function of its inputs."""
    layer = EncoderLayer(OPTIONS.of_layer(**options))
    layout = Layout(jnp.asarray(np.broadcast_to(mask, SQUARE)))
    return lambda inputs: layer.apply({"params": params}, inputs, layout)


def decode(
    params: Any, mask: np.ndarray, memory_mask: np.ndarray, **options: Any
) -> Callable[..., Any]:
    """Our decoder layer with given parameters, as a function of its inputs and the memory."""
    layer = DecoderLayer(OPTIONS.of_layer(**options))
    layout = Layout(jnp.asarray(np.broadcast_to(mask, SQUARE)))

    def outputs(inputs, memory):
        bound = layer.bind({"params": params})
        keys_values = bound.memory_keys_values(memory)
        return bound(inputs, layout, keys_values, jnp.asarray(memory_mask))[0]

    return outputs
