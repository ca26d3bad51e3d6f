import dataclasses
import itertools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.functional import SCHEMES, Cache
from flax_transformer.models import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.modules.layers import NormPlacement

BATCH, SOURCE_LENGTH, LENGTH, VOCAB, MAX_POSITIONS = 2, 5, 11, 17, 19
CONFIG = EncoderDecoderConfig(
    num_encoder_layers=2,
    num_decoder_layers=2,
    d_model=7,
    d_ff=13,
    num_heads=3,
    key_dim=23,
    value_dim=29,
    max_positions=MAX_POSITIONS,
)
RNG = np.random.default_rng(0)
SOURCE = jnp.asarray(RNG.integers(1, VOCAB, (BATCH, SOURCE_LENGTH)))
TARGET = jnp.asarray(RNG.integers(1, VOCAB, (BATCH, LENGTH)))


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A model with random parameters."""

    config: EncoderDecoderConfig
    variables: Any

    def __call__(self, *inputs: Any, method: str = "__call__") -> Any:
        return EncoderDecoder(self.config, VOCAB).apply(self.variables, *inputs, method=method)

    def start(self, capacity: int) -> Cache:
        return self(SOURCE, capacity, method="start")

    def decode(self, tokens: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        return self(tokens, cache, method="decode")


def make_model(**settings: Any) -> Model:
    config = dataclasses.replace(CONFIG, **settings)
    return Model(config, draw_parameters(EncoderDecoder(config, VOCAB), SOURCE, TARGET))


@pytest.fixture(
    scope="module", params=itertools.product(get_args(NormPlacement), SCHEMES), ids="-".join
)
def model(request: pytest.FixtureRequest) -> Model:
    norm_placement, positions = request.param
    return make_model(norm_placement=norm_placement, positions=positions)


@pytest.fixture(scope="module")
def logits(model):
    return model(SOURCE, TARGET)


def test_an_output_depends_on_the_present_and_the_past_alone(model):
    """Row i + 1 differs from row 0 in token i alone."""
    target = jnp.tile(TARGET[:1], (LENGTH + 1, 1))
    target = target.at[jnp.arange(1, LENGTH + 1), jnp.arange(LENGTH)].add(1) % VOCAB
    logits = model(jnp.tile(SOURCE[:1], (LENGTH + 1, 1)), target)
    change = jnp.abs(logits[1:] - logits[0]).max(axis=-1)
    np.testing.assert_array_equal(change > 1e-6, np.tri(LENGTH, dtype=bool).T)


def test_padding_of_the_source_has_no_influence(model, logits):
    padded = jnp.pad(SOURCE, ((0, 0), (0, 2)))
    assert_close(model(padded, TARGET), logits, 1e-6)
    assert jnp.abs(model(padded.at[:, -1].set(3), TARGET) - logits).max() > 1e-3


@pytest.mark.parametrize("lengths", [(1,) * LENGTH, (LENGTH,), (7, 1, 3)], ids=str)
def test_cached_decoding_equals_the_full_pass(model, logits, lengths):
    cache = model.start(LENGTH + 2)
    parts = []
    for tokens in jnp.split(TARGET, np.cumsum(lengths)[:-1], axis=1):
        part, cache = model.decode(tokens, cache)
        parts.append(part)
    assert_close(jnp.concatenate(parts, axis=1), logits, 1e-5)
    assert cache.length == LENGTH


def test_hypotheses_of_an_example_share_its_source(model):
    beam, prompt = 3, 2
    target = jax.random.randint(jax.random.key(0), (BATCH * beam, LENGTH), 1, VOCAB)
    target = target.at[:, :prompt].set(jnp.repeat(TARGET[:, :prompt], beam, axis=0))

    _, cache = model.decode(TARGET[:, :prompt], model.start(LENGTH))
    history = jax.tree.map(lambda x: jnp.repeat(x, beam, axis=0), cache.history)
    actual, _ = model.decode(target[:, prompt:], Cache(cache.length, history, cache.context))

    expected = model(jnp.repeat(SOURCE, beam, axis=0), target)[:, prompt:]
    assert_close(actual, expected, 1e-5)


def test_only_positions_tell_the_encoder_the_order(model):
    order = jnp.array([3, 0, 4, 2, 1])
    permuted = model(SOURCE[:, order], method="encode")
    difference = jnp.abs(permuted - model(SOURCE, method="encode")[:, order]).max()
    assert (difference < 1e-5) == (model.config.positions == "none")


def test_compiled_logits_are_those_of_the_plain_call(model, logits):
    assert_close(jax.jit(model)(SOURCE, TARGET), logits, 1e-5)


def test_every_parameter_matters(model):
    def loss(variables):
        return jnp.sin(Model(model.config, variables)(SOURCE, TARGET)).sum()

    for path, gradient in jax.tree.leaves_with_path(jax.grad(loss)(model.variables)):
        assert jnp.abs(gradient).max() > 1e-5, jax.tree_util.keystr(path)


def test_shapes_are_known_without_computing(model):
    assert set(model.variables) == {"params"}
    logits = jax.eval_shape(model, SOURCE, TARGET)
    assert (logits.shape, logits.dtype) == ((BATCH, LENGTH, VOCAB), jnp.float32)


def test_bfloat16_computes_with_float32_parameters(model, logits):
    low = EncoderDecoder(dataclasses.replace(model.config, dtype="bfloat16"), VOCAB)
    shapes = jax.eval_shape(low.init, jax.random.key(0), SOURCE, TARGET)
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}

    low_logits, state = low.apply(
        model.variables, SOURCE, TARGET, capture_intermediates=True, mutable=["intermediates"]
    )
    assert_close(low_logits, logits, 0.1)
    activations = jax.tree.leaves(state["intermediates"])
    assert {x.dtype for x in activations} == {jnp.dtype("bfloat16")}

    cache = jax.eval_shape(lambda: low.apply(model.variables, SOURCE, LENGTH, method="start"))
    assert {x.dtype for x in jax.tree.leaves(cache.history)} == {jnp.dtype("bfloat16")}


def test_decoding_beyond_a_learned_table_gives_nan_and_no_wrong_position():
    model = make_model(positions="learned", max_positions=LENGTH)
    _, cache = model.decode(TARGET, model.start(LENGTH + 1))
    logits, _ = model.decode(TARGET[:, :1], cache)
    assert jnp.isnan(logits).all()
