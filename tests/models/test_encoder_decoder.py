import dataclasses
import functools
import itertools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.decoding.hypotheses import reorder_history, repeat_history
from flax_transformer.functional import ACTIVATIONS, SCHEMES, Cache
from flax_transformer.models import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.modules import NORMS
from flax_transformer.modules.layer_options import NormPlacement

# Compiling takes all the time of these tests, so they share their few shapes.
BATCH, SOURCE_LENGTH, LENGTH, VOCAB, MAX_POSITIONS = 2, 5, 11, 19, 23
CHUNK, CAPACITY, PADDED = 3, 13, (11, 23)
CONFIG = EncoderDecoderConfig(
    num_encoder_layers=1,
    num_decoder_layers=1,
    d_model=7,
    d_ff=13,
    num_heads=4,
    key_dim=29,
    value_dim=31,
    max_positions=MAX_POSITIONS,
)
ATTENTION: list[dict[str, Any]] = [
    {},
    {"num_key_value_heads": 1},
    {"num_key_value_heads": 2},
    {"attention_window": 3},
    {"attention_bias": True, "embedding_scaling": "logits"},
    {"normalize_query_key": True},
]


def every_part() -> dict[str, dict[str, Any]]:
    """Few models in which each scheme, norm, placement, activation and attention occurs."""
    norms = list(itertools.product(NORMS, get_args(NormPlacement)))
    parts: list[list[Any]] = [list(SCHEMES), norms, list(ACTIVATIONS), ATTENTION]
    variants = {}
    for index in range(max(map(len, parts))):
        positions, (norm, placement), activation, attention = (
            part[index % len(part)] for part in parts
        )
        name = "-".join([positions, placement, norm, activation, *attention])
        variants[name] = attention | {
            "positions": positions,
            "norm": norm,
            "norm_placement": placement,
            "activation": activation,
        }
    return variants


VARIANTS = every_part()
# Every third one runs on every supported set of versions.
VERSIONED = list(VARIANTS)[::3]
RNG = np.random.default_rng(0)
# No token stands twice in a pair, so that a row of the embedding is one place; none is the last.
pytestmark = pytest.mark.usefixtures("compiled_quickly")
TOKENS = jnp.asarray([RNG.permutation(VOCAB - 2) + 1 for _ in range(BATCH)])
SOURCE, TARGET = TOKENS[:, :SOURCE_LENGTH], TOKENS[:, SOURCE_LENGTH:][:, :LENGTH]


def is_token(tokens: jax.Array) -> jax.Array:
    return (tokens != 0).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("config", "method", "capacity"))
def apply(config, variables, *inputs, method, **options):
    return EncoderDecoder(config, VOCAB).apply(variables, *inputs, method=method, **options)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A model with random parameters, and running statistics where it has them."""

    config: EncoderDecoderConfig
    variables: Any

    def __call__(self, *inputs: Any, method: str = "__call__", **options: Any) -> Any:
        """Id 0 is padding, unless the options say what is."""
        if method == "__call__" and not options:
            names = ("source_segments", "target_segments")
            options = {name: is_token(x) for name, x in zip(names, inputs, strict=True)}
        elif method in ("encode", "start"):
            options |= {"segments": is_token(inputs[0])}
        elif method == "decode":
            options |= {"is_token": inputs[0] != 0}
        return apply(self.config, self.variables, *inputs, method=method, **options)

    def start(self, source: jax.Array = SOURCE) -> Cache:
        return self(source, method="start", capacity=CAPACITY)

    def decode(self, tokens: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Reads tokens in steps of one or of CHUNK tokens, whichever divides their number."""
        size = 1 if tokens.shape[1] % CHUNK else CHUNK
        parts = []
        for first in range(0, tokens.shape[1], size):
            part, cache = self(tokens[:, first : first + size], cache, method="decode")
            parts.append(part)
        return jnp.concatenate(parts, axis=1), cache


def make_model(**settings: Any) -> Model:
    config = dataclasses.replace(CONFIG, **settings)
    variables = draw_parameters(EncoderDecoder(config, VOCAB), SOURCE, TARGET)
    if "batch_stats" in variables:  # a variance is positive
        variables["batch_stats"] = jax.tree.map(jnp.exp, variables["batch_stats"])
    return Model(config, variables)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.platforms if name in VERSIONED else ())
        for name in VARIANTS
    ],
)
def model(request: pytest.FixtureRequest) -> Model:
    return make_model(**VARIANTS[request.param])


@pytest.fixture(scope="module")
def logits(model):
    return model(SOURCE, TARGET)


def test_an_output_depends_on_the_present_and_the_past_alone(model):
    """By the gradient of a logit that is of none of the tokens, by each token's embedding."""
    params = model.variables["params"]

    @jax.jit
    @jax.jacobian
    def jacobian(table):
        variables = model.variables | {"params": params | {"embedding": {"table": table}}}
        return Model(model.config, variables)(SOURCE[:1], TARGET[:1])[0, :, VOCAB - 1]

    depends = jnp.abs(jacobian(params["embedding"]["table"])[:, TARGET[0]]).max(axis=-1) > 0
    reach = model.config.attention_window or LENGTH
    seen = np.tri(LENGTH, dtype=bool) & ~np.tri(LENGTH, k=-reach, dtype=bool)
    np.testing.assert_array_equal(depends, seen)


def pad(source: jax.Array, target: jax.Array, *, left: int = 0) -> tuple[jax.Array, ...]:
    """Pads to the one padded shape."""
    return tuple(
        jnp.pad(x, ((0, 0), (left, length - left - x.shape[1])))
        for x, length in zip((source, target), PADDED, strict=True)
    )


@pytest.mark.parametrize("left", [0, 3])
def test_padding_has_no_influence(model, logits, left):
    source, target = pad(SOURCE, TARGET, left=left)
    assert_close(model(source, target)[:, left : left + LENGTH], logits, 1e-5)
    changed = model(source.at[:, -1].set(3), target)[:, left : left + LENGTH]
    assert jnp.abs(changed - logits).max() > 1e-3


def test_packed_pairs_do_not_see_each_other(model, logits):
    """The second pair is shorter than the first, and padding stands behind both."""
    short_source, short_target = SOURCE[1:, :3], TARGET[1:, :7]
    first, second = (SOURCE[:1], TARGET[:1]), (short_source, short_target)
    row = pad(*(jnp.concatenate(x, axis=1) for x in zip(first, second, strict=True)))
    segments = pad(
        *(
            jnp.repeat(jnp.array([1, 2]), jnp.array([a.size, b.size]))[None]
            for a, b in zip(first, second, strict=True)
        )
    )
    packed = model(*row, source_segments=segments[0], target_segments=segments[1])
    assert_close(packed[:, :LENGTH], logits[:1], 1e-5)
    alone = model(*(jnp.repeat(x, BATCH, axis=0) for x in pad(*second)))
    assert_close(packed[:, LENGTH : LENGTH + 7], alone[:1, :7], 1e-5)


@pytest.mark.parametrize("lengths", [(LENGTH,), (2 * CHUNK, LENGTH - 2 * CHUNK)], ids=str)
def test_cached_decoding_equals_the_full_pass(model, logits, lengths):
    cache = model.start()
    parts = []
    for tokens in jnp.split(TARGET, np.cumsum(lengths)[:-1], axis=1):
        part, cache = model.decode(tokens, cache)
        parts.append(part)
    assert_close(jnp.concatenate(parts, axis=1), logits, 1e-5)
    assert cache.length == LENGTH


def test_prompts_of_different_lengths_are_padded_on_the_left(model, logits):
    """In the second row, the first token stands where the first row has its third."""
    prompt, late = 2 * CHUNK, 2
    shifted = jnp.pad(TARGET, ((0, 0), (late, 0)))[:, :LENGTH]
    target = jnp.stack([TARGET[0], shifted[1]])
    first, cache = model.decode(target[:, :prompt], model.start())
    rest, _ = model.decode(target[:, prompt:], cache)
    actual = jnp.concatenate([first, rest], axis=1)
    assert_close(actual[0], logits[0], 1e-5)
    assert_close(actual[1, late:], logits[1, : LENGTH - late], 1e-5)


def test_hypotheses_that_move_share_their_source_and_what_they_wrote(model):
    """After every step but the first all move; histories are followed here token by token."""
    beam, prompt = 3, CHUNK
    draw = np.random.default_rng(0)
    new = draw.integers(1, VOCAB, (BATCH * beam, LENGTH))
    histories = np.repeat(np.asarray(TARGET)[:, :prompt], beam, axis=0)
    _, cache = model.decode(TARGET[:, :prompt], model.start())
    cache = repeat_history(cache, beam)
    for step in range(prompt, LENGTH):
        histories = np.concatenate([histories, new[:, step : step + 1]], axis=1)
        actual, cache = model.decode(jnp.asarray(new[:, step : step + 1]), cache)
        if step == LENGTH - 1:
            break
        parents = draw.integers(0, beam, (BATCH, beam))
        histories = histories[(beam * np.arange(BATCH)[:, None] + parents).ravel()]
        cache = reorder_history(cache, jnp.asarray(parents))
    by_place = jnp.asarray(histories).reshape(BATCH, beam, LENGTH).swapaxes(0, 1)
    expected = jnp.stack([model(SOURCE, targets)[:, -1:] for targets in by_place], axis=1)
    assert_close(actual, expected.reshape(actual.shape), 1e-5)


def test_only_positions_tell_the_encoder_the_order(model):
    order = jnp.array([3, 0, 4, 2, 1])
    permuted = model(SOURCE[:, order], method="encode")
    expected = model(SOURCE, method="encode")[:, order]
    difference = jnp.abs(permuted - expected).max() / jnp.abs(expected).max()
    assert (difference < 1e-5) == (model.config.positions == "none")


def test_every_parameter_matters(model):
    def loss(params):
        variables = model.variables | {"params": params}
        return jnp.sin(Model(model.config, variables)(SOURCE, TARGET)).sum()

    gradients = jax.jit(jax.grad(loss))(model.variables["params"])
    for path, gradient in jax.tree.leaves_with_path(gradients):
        # A key's bias adds the same to all scores of a query, so a softmax does not see it.
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert jnp.abs(gradient).max() > 1e-9, jax.tree_util.keystr(path)


def test_shapes_are_known_without_computing(model):
    statistics = {"batch_stats"} if model.config.norm == "batch" else set()
    assert set(model.variables) == {"params"} | statistics
    logits = jax.eval_shape(model, SOURCE, TARGET)
    assert (logits.shape, logits.dtype) == ((BATCH, LENGTH, VOCAB), jnp.float32)


def test_bfloat16_computes_with_float32_parameters(model):
    low = EncoderDecoder(dataclasses.replace(model.config, dtype="bfloat16"), VOCAB)
    shapes = jax.eval_shape(low.init, jax.random.key(0), SOURCE, TARGET)
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}

    intermediates = {"capture_intermediates": True, "mutable": ["intermediates"]}
    logits, state = jax.eval_shape(
        lambda variables: low.apply(variables, SOURCE, TARGET, **intermediates), shapes
    )
    assert state["intermediates"].pop("__call__") == (logits,)
    assert logits.dtype == jnp.float32
    vectors = [x for x in jax.tree.leaves(state["intermediates"]) if x.ndim > 2]
    assert {x.dtype for x in vectors} == {jnp.dtype("bfloat16")}
    cache = jax.eval_shape(lambda: low.apply(model.variables, SOURCE, LENGTH, method="start"))
    assert {x.dtype for x in jax.tree.leaves(cache.written)} == {jnp.dtype("bfloat16")}


def test_attention_can_be_looked_at_in_every_layer(model):
    module = EncoderDecoder(model.config, VOCAB)
    _, stored = jax.eval_shape(
        lambda: module.apply(model.variables, SOURCE, TARGET, mutable=["activations"])
    )
    by_path: Any = flatten_dict(stored["activations"])
    shapes = sorted(x.shape for path, x in by_path.items() if path[-1] == "weights")
    lengths = (SOURCE_LENGTH, SOURCE_LENGTH), (LENGTH, SOURCE_LENGTH), (LENGTH, LENGTH)
    assert shapes == sorted((BATCH, CONFIG.num_heads, *pair) for pair in lengths)


@pytest.mark.platforms
def test_the_plain_call_gives_the_compiled_logits_and_16_bits_nearly_the_same():
    model = make_model()
    logits = model(SOURCE, TARGET)
    plain = EncoderDecoder(model.config, VOCAB).apply(model.variables, SOURCE, TARGET)
    assert_close(plain, logits, 1e-5)
    low = dataclasses.replace(model, config=dataclasses.replace(CONFIG, dtype="bfloat16"))
    assert_close(low(SOURCE, TARGET), logits, 0.1)


@pytest.mark.platforms
def test_decoding_beyond_a_learned_table_gives_nan_and_no_wrong_position():
    model = make_model(positions="learned", max_positions=LENGTH)
    _, cache = model.decode(TARGET, model.start())
    logits, _ = model.decode(TARGET[:, :1], cache)
    assert jnp.isnan(logits).all()


@pytest.mark.platforms
def test_a_decoder_scales_positions_by_a_length_that_does_not_grow():
    """Else the length of a target would tell where it ends."""
    model = make_model(positions="scaled")
    assert_close(model(SOURCE, TARGET[:, :7]), model(SOURCE, TARGET)[:, :7], 1e-5)
