"""What the backward pass computes again saves memory, and changes no result."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, get_args

import jax
import jax.numpy as jnp
import pytest
from parameters import draw_parameters

from flax_transformer.models import DecoderOnly, DecoderOnlyConfig
from flax_transformer.modules.observe import Remat
from flax_transformer.training.planning import suggested_meshes

VOCAB, SHAPE = 11, (2, 97)
VALUES = get_args(Remat)


def model_of(remat: Remat, **options: Any) -> DecoderOnly:
    sizes: dict[str, Any] = {
        "num_layers": 2,
        "d_model": 48,
        "d_ff": 193,
        "num_heads": 3,
        "positions": "none",
    }
    rates: dict[str, Any] = {"attention_dropout_rate": 0.25, "residual_dropout_rate": 0.25}
    return DecoderOnly(DecoderOnlyConfig(**sizes | rates | options, remat=remat), VOCAB)


def loss_of(model: DecoderOnly, variables: Any, tokens: Any) -> Any:
    rngs = {"dropout": jax.random.key(5)}
    logits: Any = model.apply(variables, tokens, deterministic=False, rngs=rngs)
    return jnp.sin(logits).sum()


@pytest.fixture(scope="module")
def inputs() -> tuple[Any, jax.Array]:
    """Variables of scanned layers, and long texts."""
    tokens = jnp.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % VOCAB
    return draw_parameters(model_of("none", scan_layers=True, num_layers=3), tokens), tokens


@pytest.fixture(scope="module")
def gradients(inputs) -> list[Any]:
    """Compiled gradients of scanned layers: on a CPU, XLA undoes a recomputation in a loop."""
    assert VALUES == ("none", "attention", "dots", "all")
    jax.config.update("jax_disable_most_optimizations", True)
    losses = (
        functools.partial(loss_of, model_of(remat, scan_layers=True, num_layers=3))
        for remat in VALUES
    )
    found = [jax.jit(jax.value_and_grad(loss)).lower(*inputs).compile() for loss in losses]
    jax.config.update("jax_disable_most_optimizations", False)
    return found


def assert_each_is_less(numbers: Sequence[float]) -> None:
    for more, less in itertools.pairwise(numbers):
        assert less < 0.95 * more, numbers


def test_gradients_are_equal_with_dropout(inputs, gradients):
    expected, *others = (jax.tree.leaves(gradient(*inputs)) for gradient in gradients)
    for other in others:
        for one, two in zip(other, expected, strict=True):
            assert jnp.abs(one - two).max() <= 1e-5 * jnp.abs(two).max()


def test_each_value_needs_less_memory_than_the_one_before(gradients):
    assert_each_is_less([each.memory_analysis().temp_size_in_bytes for each in gradients])


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"feed_forward": "experts"}])
def test_each_value_keeps_less_for_the_backward_pass(inputs, options):
    """Products in 16 bits have another form on each platform, and are found too."""
    kept = []
    for remat in VALUES:
        model = model_of(remat, **options)
        variables = jax.eval_shape(model.init, jax.random.key(0), inputs[1])
        vjp = functools.partial(jax.vjp, functools.partial(loss_of, model))
        _, backward = jax.eval_shape(vjp, variables, inputs[1])
        kept.append(sum(array.size for array in jax.tree.leaves(backward)))
    assert_each_is_less(kept)


def test_the_formula_of_meshes_knows_every_value():
    assert set(suggested_meshes._KEPT) == set(VALUES)
