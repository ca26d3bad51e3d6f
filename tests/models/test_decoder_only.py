import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from overfitting import fit
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.decoding import SearchLimits, beam_search, greedy_search, sample
from flax_transformer.decoding.hypotheses import reorder_history, repeat_history
from flax_transformer.decoding.length_penalty import LENGTH_PENALTIES
from flax_transformer.functional import label_smoothed_cross_entropy
from flax_transformer.models import DecoderOnly, DecoderOnlyConfig, stack_layers

BATCH, LENGTH, VOCAB, CAPACITY = 2, 7, 17, 11
CONFIG = DecoderOnlyConfig(
    num_layers=2, d_model=13, d_ff=19, num_heads=4, key_dim=3, value_dim=5, max_positions=CAPACITY
)
VARIANTS: dict[str, dict[str, Any]] = {
    "gpt-2": {},
    "post-rotary-window": {"norm_placement": "post", "positions": "rotary", "attention_window": 3},
    "rms-swiglu-grouped-scaled": {
        "norm": "rms",
        "activation": "swiglu",
        "num_key_value_heads": 2,
        "positions": "scaled",
    },
}
# The two texts begin with different tokens, so that no next token is uncertain.
RNG = np.random.default_rng(1)
TOKENS = jnp.asarray([RNG.permutation(VOCAB - 2)[:LENGTH] + 1 for _ in range(BATCH)])


pytestmark = pytest.mark.usefixtures("compiled_quickly")


@functools.partial(jax.jit, static_argnames=("config", "method"))
def apply(config, variables, *inputs, method="__call__", **options):
    return DecoderOnly(config, VOCAB).apply(variables, *inputs, method=method, **options)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    config: DecoderOnlyConfig
    variables: Any

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Id 0 is padding, unless the options say what is."""
        if not options:
            options = {"segments": (inputs[0] != 0).astype(jnp.int32)}
        return apply(self.config, self.variables, *inputs, **options)

    def start(self) -> Any:
        module = DecoderOnly(self.config, VOCAB)
        return module.apply(self.variables, BATCH, CAPACITY, method="start")

    def step(self, tokens: Any, cache: Any) -> Any:
        return self(tokens, cache, method="decode")


def test_tokens_beyond_the_room_of_a_cache_are_refused():
    module = DecoderOnly(CONFIG, VOCAB)
    variables = draw_parameters(module, TOKENS)
    cache = module.apply(variables, BATCH, LENGTH + 1, method="start")
    _, cache = module.apply(variables, TOKENS, cache, method="decode")
    _, cache = module.apply(variables, TOKENS[:, :1], cache, method="decode")
    with pytest.raises(ValueError, match="1 new tokens do not fit a cache of 8 positions"):
        module.apply(variables, TOKENS[:, :1], cache, method="decode")


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> Model:
    config = dataclasses.replace(CONFIG, **VARIANTS[request.param])
    return Model(config, draw_parameters(DecoderOnly(config, VOCAB), TOKENS))


@pytest.fixture(scope="module")
def logits(model):
    return model(TOKENS)


def test_an_output_depends_on_the_present_and_the_past_alone(model):
    """By the gradient of a logit that is of none of the tokens, by each token's embedding."""
    params = model.variables["params"]

    @jax.jit
    @jax.jacobian
    def jacobian(table):
        variables = {"params": params | {"embedding": {"table": table}}}
        return Model(model.config, variables)(TOKENS[:1])[0, :, VOCAB - 1]

    depends = jnp.abs(jacobian(params["embedding"]["table"])[:, TOKENS[0]]).max(axis=-1) > 0
    # Through two layers a token sees two windows back.
    reach = 2 * ((model.config.attention_window or LENGTH) - 1) + 1
    seen = np.tri(LENGTH, dtype=bool) & ~np.tri(LENGTH, k=-reach, dtype=bool)
    np.testing.assert_array_equal(depends, seen)


@pytest.mark.parametrize("place", [0, 3, LENGTH - 1])
def test_a_later_token_changes_nothing_before_it(model, logits, place):
    changed = model(TOKENS.at[:, place].set(VOCAB - 1))
    np.testing.assert_array_equal(changed[:, :place], logits[:, :place])
    assert jnp.abs(changed[:, place] - logits[:, place]).max() > 1e-3


@pytest.mark.parametrize("left", [0, 3])
def test_padding_has_no_influence(model, logits, left):
    padded = jnp.pad(TOKENS, ((0, 0), (left, CAPACITY - LENGTH - left)))
    assert_close(model(padded)[:, left : left + LENGTH], logits, 1e-5)


def test_packed_texts_do_not_see_each_other(model, logits):
    row = jnp.concatenate([TOKENS[0], TOKENS[1, :4]])[None]
    segments = jnp.repeat(jnp.array([1, 2]), jnp.array([LENGTH, 4]))[None]
    packed = model(row, segments=segments)
    assert_close(packed[:, :LENGTH], logits[:1], 1e-5)
    assert_close(packed[:, LENGTH:], logits[1:, :4], 1e-5)


@pytest.mark.parametrize("lengths", [(1,) * LENGTH, (3, 1, 3), (LENGTH,)], ids=str)
def test_cached_decoding_equals_the_full_pass(model, logits, lengths):
    cache, parts = model.start(), []
    for tokens in jnp.split(TOKENS, np.cumsum(lengths)[:-1], axis=1):
        part, cache = model.step(tokens, cache)
        parts.append(part)
    assert_close(jnp.concatenate(parts, axis=1), logits, 1e-5)
    assert cache.length == LENGTH


def test_hypotheses_that_move_read_what_their_parents_wrote(model):
    """After every step but the last all move; histories are followed here token by token."""
    beam, draw = 3, np.random.default_rng(0)
    histories = np.repeat(np.asarray(TOKENS)[:, :3], beam, axis=0)
    _, cache = model.step(TOKENS[:, :3], model.start())
    cache, actual = repeat_history(cache, beam), None
    for step in range(3):
        tokens = draw.integers(1, VOCAB, (BATCH * beam, 1))
        histories = np.concatenate([histories, tokens], axis=1)
        actual, cache = model.step(jnp.asarray(tokens), cache)
        if step < 2:
            parents = draw.integers(0, beam, (BATCH, beam))
            histories = histories[(beam * np.arange(BATCH)[:, None] + parents).ravel()]
            cache = reorder_history(cache, jnp.asarray(parents))
    assert_close(actual, model(jnp.asarray(histories))[:, -1:], 1e-5)


def greedy_by_hand(model, prompt, num_tokens):
    for _ in range(num_tokens):
        following = jnp.argmax(model(prompt)[:, -1:], axis=-1)
        prompt = jnp.concatenate([prompt, following], axis=1)
    return prompt[:, -num_tokens:]


def test_the_searches_run_on_it_unchanged():
    """Against whole passes: the greedy tokens, and the probability of each hypothesis of a beam."""
    model = Model(CONFIG, draw_parameters(DecoderOnly(CONFIG, VOCAB), TOKENS))
    prompt, without_padding = TOKENS[:, :3], jnp.where(jnp.arange(VOCAB) == 0, -1e9, 0.0)

    def step(tokens, cache):
        logits, cache = model.step(tokens, cache)
        return logits + without_padding, cache

    def whole(tokens):
        return model(tokens) + without_padding

    # No token ends a hypothesis.
    limits = SearchLimits(max_length=5, eos_id=VOCAB, pad_id=0)
    expected = greedy_by_hand(whole, prompt, 5)
    found = greedy_search(step, model.start(), prompt, limits).tokens
    np.testing.assert_array_equal(found[:, 0], expected)
    drawn = sample(
        step, model.start(), prompt, limits, jax.random.key(0), temperature=1e-4, num_samples=2
    )
    np.testing.assert_array_equal(drawn.tokens, jnp.stack([expected, expected], axis=1))

    penalty = functools.partial(LENGTH_PENALTIES["power"], alpha=1.0)
    beam = beam_search(
        step, model.start(), prompt, limits, beam_size=3, num_best=3, length_penalty=penalty
    )
    rows = jnp.concatenate([jnp.repeat(prompt, 3, axis=0), beam.tokens.reshape(-1, 5)], axis=1)
    log_probs = jax.nn.log_softmax(whole(rows)[:, 2:-1])
    each = jnp.take_along_axis(log_probs, rows[:, 3:, None], axis=-1)
    assert_close(beam.log_probs.ravel(), each.sum(axis=(1, 2)), 1e-5)


def test_every_parameter_matters_and_there_is_none_for_a_source(model):
    gradients = jax.jit(
        jax.grad(lambda params: jnp.sin(Model(model.config, {"params": params})(TOKENS)).sum())
    )(model.variables["params"])
    for path, gradient in jax.tree.leaves_with_path(gradients):
        name = jax.tree_util.keystr(path)
        assert "cross" not in name
        # A key's bias adds the same to all scores of a query, so a softmax does not see it, unless
        # it is rotated.
        if "['key']['bias']" not in name:
            assert jnp.abs(gradient).max() > 1e-9, name


def test_scanned_layers_give_the_same(model, logits):
    deep = dataclasses.replace(model.config, scan_layers=True, remat="all")
    scanned = Model(deep, stack_layers(model.variables))
    assert_close(scanned(TOKENS), logits, 1e-5)
    part, _ = scanned.step(TOKENS[:, :3], scanned.start())
    assert_close(part, logits[:, :3], 1e-5)


def test_it_overfits_a_batch():
    model = DecoderOnly(CONFIG, VOCAB)

    def loss(variables: Any) -> Any:
        logits: Any = model.apply(variables, TOKENS[:, :-1])
        total, weight = label_smoothed_cross_entropy(
            logits, TOKENS[:, 1:], jnp.ones(TOKENS[:, 1:].shape)
        )
        return total / weight

    first, last = fit(loss, jax.jit(model.init)(jax.random.key(0), TOKENS[:, :-1]))
    assert first > 2
    assert last < 0.1


def test_its_first_logits_are_about_zero():
    logits, _ = DecoderOnly(CONFIG, VOCAB).init_with_output(jax.random.key(0), TOKENS)
    assert jnp.abs(logits).max() < 1
