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

from flax_transformer.errors import UserError
from flax_transformer.functional import label_smoothed_cross_entropy
from flax_transformer.models import EncoderOnly, EncoderOnlyConfig, stack_layers

BATCH, LENGTH, PADDED, VOCAB, CLASSES = 2, 5, 11, 19, 3
CONFIG = EncoderOnlyConfig(
    num_layers=2, d_model=13, d_ff=17, num_heads=4, key_dim=3, value_dim=7, max_positions=PADDED
)
VARIANTS: dict[str, dict[str, Any]] = {
    "bert": {},
    "pre-rms-alibi-mean": {
        "norm_placement": "pre",
        "norm": "rms",
        "positions": "alibi",
        "pooling": "mean",
    },
    "convolution": {"convolution_width": 4},
    "pre-convolution": {"convolution_width": 3, "norm_placement": "pre"},
}
METHODS = ["__call__", "predict_tokens", "pool", "classify"]
RNG = np.random.default_rng(0)
TOKENS = jnp.asarray([RNG.permutation(VOCAB - 1)[:LENGTH] + 1 for _ in range(BATCH)])
SENTENCES = jnp.asarray([[0, 0, 1, 1, 1], [0, 1, 1, 1, 1]])
pytestmark = pytest.mark.usefixtures("compiled_quickly")


@functools.partial(jax.jit, static_argnames=("config", "method"))
def apply(config, variables, *inputs, method="__call__", **options):
    return EncoderOnly(config, VOCAB, CLASSES).apply(variables, *inputs, method=method, **options)


def every_head(model: EncoderOnly, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    return model.predict_tokens(tokens), model.classify(tokens)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    config: EncoderOnlyConfig
    variables: Any

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Id 0 is padding, unless the options say what is."""
        options = {"segments": (inputs[0] != 0).astype(jnp.int32)} | options
        return apply(self.config, self.variables, *inputs, **options)


def make_model(**settings: Any) -> Model:
    config = dataclasses.replace(CONFIG, **settings)
    module = EncoderOnly(config, VOCAB, CLASSES)
    return Model(config, draw_parameters(module, TOKENS, method=every_head))


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> Model:
    return make_model(**VARIANTS[request.param])


def pad(row: jax.Array, left: int) -> jax.Array:
    return jnp.pad(row, ((0, 0), (left, PADDED - LENGTH - left)))


@pytest.mark.parametrize("left", [0, 3])
@pytest.mark.parametrize("method", METHODS)
def test_padding_has_no_influence(model, method, left):
    """Neither on tokens, nor on whole texts, whose first token may stand behind padding."""
    outputs = model(TOKENS, sentences=SENTENCES, method=method)
    padded = model(pad(TOKENS, left), sentences=pad(SENTENCES, left), method=method)
    if outputs.ndim == 3:
        padded = padded[:, left : left + LENGTH]
    assert_close(padded, outputs, 1e-5)


def test_every_token_depends_on_every_token(model):
    params = model.variables["params"]

    @jax.jit
    @jax.jacobian
    def jacobian(table):
        variables = {"params": params | {"embedding": {"table": table}}}
        return jnp.sin(Model(model.config, variables)(TOKENS[:1]))[0].sum(axis=-1)

    depends = jnp.abs(jacobian(params["embedding"]["table"])[:, TOKENS[0]]).max(axis=-1)
    assert depends.shape == (LENGTH, LENGTH)
    assert (depends > 0).all()


def test_packed_texts_do_not_see_each_other(model):
    hidden = model(TOKENS)
    row = jnp.concatenate([TOKENS[0], TOKENS[1]])[None]
    segments = jnp.repeat(jnp.array([1, 2]), LENGTH)[None]
    assert_close(model(row, segments=segments)[0].reshape(hidden.shape), hidden, 1e-5)


def test_sentences_are_told_apart_and_the_first_is_meant_where_none_is_given(model):
    hidden = model(TOKENS)
    np.testing.assert_array_equal(model(TOKENS, sentences=jnp.zeros_like(TOKENS)), hidden)
    assert jnp.abs(model(TOKENS, sentences=SENTENCES) - hidden).max() > 1e-2


def test_a_text_is_its_first_token_or_the_mean_or_max_of_all():
    poolings = {
        "first": lambda x: x[:, 0],
        "mean": lambda x: x.mean(axis=1),
        "max": lambda x: x.max(axis=1),
    }
    for pooling, expected in poolings.items():
        model = make_model(pooling=pooling)
        pooler = model.variables["params"]["pooler"]
        pooled = np.asarray(expected(model(TOKENS)), np.float64)
        by_hand = np.tanh(pooled @ pooler["kernel"] + pooler["bias"])
        assert_close(model(TOKENS, method="pool"), by_hand, 1e-5)


def test_the_pooler_may_end_in_a_relu():
    model = make_model(pooler_activation="relu")
    pooler = model.variables["params"]["pooler"]
    first = np.asarray(model(TOKENS), np.float64)[:, 0]
    by_hand = np.maximum(first @ pooler["kernel"] + pooler["bias"], 0)
    assert 0 < (by_hand > 0).sum() < by_hand.size
    assert_close(model(TOKENS, method="pool"), by_hand, 1e-5)


def test_tokens_are_scored_by_their_own_embedding(model):
    """A change of one row of the table changes one column of the logits beyond all others."""
    params = model.variables["params"]
    table = params["embedding"]["table"]
    absent = next(token for token in range(1, VOCAB) if token not in set(TOKENS.ravel().tolist()))
    changed = params | {"embedding": {"table": table.at[absent].add(1.0)}}
    before = model(TOKENS, method="predict_tokens")
    after = Model(model.config, {"params": changed})(TOKENS, method="predict_tokens")
    columns = jnp.abs(after - before).max(axis=(0, 1)) > 0
    assert np.flatnonzero(columns).tolist() == [absent]


def test_a_head_has_parameters_only_if_it_is_asked_for():
    module = EncoderOnly(CONFIG, VOCAB, CLASSES)

    def names(method: str) -> set[str]:
        init = functools.partial(module.init, method=method)
        return set(jax.eval_shape(init, jax.random.key(0), TOKENS)["params"])

    body = names("__call__")
    assert names("pool") - body == {"pooler"}
    assert names("classify") - body == {"pooler", "classifier"}
    assert names("predict_tokens") - body == {"token_transform", "token_norm", "token_bias"}


def test_every_parameter_matters(model):
    def loss(params):
        outputs = [
            Model(model.config, {"params": params})(TOKENS, sentences=SENTENCES, method=method)
            for method in ("predict_tokens", "classify")
        ]
        return sum(jnp.sin(x).sum() for x in outputs)

    gradients = jax.jit(jax.grad(loss))(model.variables["params"])
    for path, gradient in jax.tree.leaves_with_path(gradients):
        # A key's bias adds the same to all scores of a query, so a softmax does not see it.
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert jnp.abs(gradient).max() > 1e-9, jax.tree_util.keystr(path)


def test_scanned_layers_give_the_same(model):
    deep = dataclasses.replace(model.config, scan_layers=True, remat="all")
    scanned = Model(deep, stack_layers(model.variables))
    assert_close(scanned(TOKENS), model(TOKENS), 1e-5)


def test_its_heads_overfit_a_batch():
    module = EncoderOnly(CONFIG, VOCAB, CLASSES)
    masked = TOKENS.at[:, 1].set(VOCAB - 1)
    classes = jnp.array([2, 0])

    def loss(variables: Any) -> Any:
        tokens: Any = module.apply(variables, masked, method="predict_tokens")
        whole: Any = module.apply(variables, TOKENS, method="classify")
        of_tokens = label_smoothed_cross_entropy(tokens[:, 1], TOKENS[:, 1], jnp.ones(BATCH))
        of_texts = label_smoothed_cross_entropy(whole, classes, jnp.ones(BATCH))
        return (of_tokens[0] + of_texts[0]) / BATCH

    init = jax.jit(functools.partial(module.init, method=every_head))
    first, last = fit(loss, init(jax.random.key(0), TOKENS))
    assert first > 2
    assert last < 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "--model.num-layers must be at least 1, not 0"),
        ({"num_sentences": 0}, "--model.num-sentences must be at least 1, not 0"),
        ({"convolution_width": 0}, "--model.convolution-width must be at least 1, not 0"),
        ({"pooling": "frist"}, "unknown --model.pooling 'frist': did you mean 'first'"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_values_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        EncoderOnlyConfig(**settings)
    assert "\n" not in str(error.value)


def test_without_sentences_there_is_no_table_of_them():
    config = dataclasses.replace(CONFIG, num_sentences=None)
    inputs = (jax.random.key(0), TOKENS)
    params = jax.eval_shape(config.build(vocab_size=VOCAB).init, *inputs)["params"]
    assert "sentence_embedding" not in params
    with pytest.raises(ValueError, match="sentences need num_sentences"):
        config.build(vocab_size=VOCAB).init(*inputs, sentences=TOKENS)
