"""Under a mesh with explicit axes, our layers work as flax's own do: with the batch sharded."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from reference import assert_close
from small_models import MODELS

from flax_transformer import functional
from flax_transformer.modules import EncoderLayer, FeedForward, LayerOptions, MultiHeadAttention

DEVICES, LENGTH, HEADS, HEAD_DIM, D_MODEL = 8, 5, 4, 3, 12
pytestmark = pytest.mark.usefixtures("unchecked_types", "quickly_compiled")


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(DEVICES, *shape)).astype(np.float32)


def assert_same_when_sharded(function: Any, *arrays: np.ndarray) -> None:
    """The function gives the same if the rows of arrays are on several devices; so do gradients."""

    def total(*arrays: Any) -> Any:
        return sum(jnp.square(x).sum() for x in jax.tree.leaves(function(*arrays)))

    def results(arrays: Any) -> Any:
        return jax.jit(function)(*arrays), jax.jit(jax.grad(total))(*arrays)

    expected = jax.device_get(results(tuple(map(jnp.asarray, arrays))))
    mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        rows = NamedSharding(mesh, PartitionSpec("data"))
        actual = results(tuple(jax.device_put(x, rows) for x in arrays))
    jax.tree.map(lambda x, y: assert_close(x, y, 1e-5), jax.device_get(actual), expected)


HEADS_OF_ALL = drawn(LENGTH, HEADS, HEAD_DIM)
MASK = drawn(LENGTH, LENGTH) > -0.5
BIAS = drawn(HEADS, LENGTH, LENGTH)
ATTENTION: dict[str, Any] = {
    "plain": {},
    "mask": {"mask": MASK},
    "bias": {"bias": BIAS},
    "weights": {"mask": MASK, "return_weights": True},
    "blockwise": {"mask": MASK, "implementation": "blockwise"},
}


@pytest.mark.parametrize("key_value_heads", [HEADS, 2, 1])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.xfail(
                strict=True, reason="blocks of examples are looped over, which is not sharded yet"
            )
            if name == "blockwise"
            else (),
        )
        for name in ATTENTION
    ],
)
def test_attention(name, key_value_heads):
    arrays = {key: x for key, x in ATTENTION[name].items() if isinstance(x, np.ndarray)}
    options = {key: x for key, x in ATTENTION[name].items() if key not in arrays}

    def attend(heads, *given):
        key = heads[:, :, :key_value_heads]
        named = {key: x > 0 if key == "mask" else x for key, x in zip(arrays, given, strict=True)}
        return functional.multi_head_attend(heads, key, key, **named, **options)

    assert_same_when_sharded(attend, HEADS_OF_ALL, *(x.astype(np.float32) for x in arrays.values()))


def test_patches_and_tubelets():
    def patches(images):
        return jax.vmap(lambda image: functional.split_patches(image, (2, 3)))(images)

    def tubelets(videos):
        return jax.vmap(lambda video: functional.split_tubelets(video, (2, 2, 3)))(videos)

    assert_same_when_sharded(patches, drawn(4, 6, 2))
    assert_same_when_sharded(tubelets, drawn(4, 4, 6, 2))


def test_projections():
    kernel = drawn(HEADS * HEAD_DIM)[0].reshape(HEADS, HEAD_DIM, 1)
    assert_same_when_sharded(lambda x: functional.project(x, jnp.asarray(kernel), 2), HEADS_OF_ALL)
    kernel = np.ones((HEAD_DIM, HEADS, 2), np.float32)
    assert_same_when_sharded(lambda x: functional.project(x, jnp.asarray(kernel)), HEADS_OF_ALL)


def self_attention(module, x):
    return module(x, module.keys_values(x))


OPTIONS = LayerOptions(num_heads=HEADS, d_model=D_MODEL, d_ff=7)
MODULES: dict[str, Any] = {
    "flax's attention": lambda x: drawn_and_applied(nn.MultiHeadDotProductAttention(HEADS), x),
    "flax's dense layer": lambda x: drawn_and_applied(nn.Dense(7), x),
    "attention": lambda x: drawn_and_applied(MultiHeadAttention(OPTIONS), x, method=self_attention),
    "attention with options": lambda x: drawn_and_applied(
        MultiHeadAttention(
            OPTIONS.of_layer(num_key_value_heads=2, attention_bias=True, normalize_query_key=True)
        ),
        x,
        method=self_attention,
    ),
    "feed-forward": lambda x: drawn_and_applied(FeedForward(OPTIONS), x),
    "layer": lambda x: EncoderLayer(OPTIONS).init_with_output(
        jax.random.key(0), x, functional.Layout()
    )[0],
}


def drawn_and_applied(module: nn.Module, x: Any, **options: Any) -> Any:
    return module.init_with_output(jax.random.key(0), x, **options)[0]


@pytest.mark.parametrize("name", MODULES)
def test_layers(name):
    assert_same_when_sharded(MODULES[name], drawn(LENGTH, D_MODEL))


PICTURES = [name for name, small in MODELS.items() if small.inputs[0].ndim > 2]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.xfail(
                strict=True, reason="one mask for all rows is not sharded as the rows are yet"
            )
            if name == "video window"
            else (),
        )
        for name in PICTURES
    ],
)
def test_models_of_images_and_videos(name):
    small = MODELS[name]
    variables = jax.device_get(small.draw())
    inputs = np.resize(small.inputs[0], (DEVICES, *small.inputs[0].shape[1:]))
    assert_same_when_sharded(lambda x: small.apply(variables, x), inputs)


@pytest.mark.xfail(
    strict=True,
    reason="an embedding is a gather, whose sharding must be given, as for flax's nn.Embed",
)
def test_embeddings_of_tokens():
    ids = np.resize(np.arange(7, dtype=np.int32), (DEVICES, LENGTH))
    mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        tokens = jax.device_put(ids, NamedSharding(mesh, PartitionSpec("data")))
        embedded = functional.embed(tokens, jnp.ones((7, D_MODEL)))
    assert embedded.shape == (DEVICES, LENGTH, D_MODEL)
