import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.data.batching import Batch
from flax_transformer.errors import UserError
from flax_transformer.models import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.tasks.translation import Translation, TranslationConfig, shift_right

VOCAB = 13
SOURCE = np.array([[5, 7, 2, 0, 0], [3, 4, 6, 8, 2], [0, 0, 0, 0, 0]], np.int32)
TARGET = np.array([[9, 2, 0], [12, 3, 2], [0, 0, 0]], np.int32)
BATCH = Batch(SOURCE, TARGET)


def make_task(label_smoothing=0.1, dropout_rate=0.0) -> Translation:
    config = EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=6,
        d_ff=11,
        num_heads=2,
        residual_dropout_rate=dropout_rate,
    )
    return Translation(TranslationConfig(label_smoothing), EncoderDecoder(config, VOCAB))


@pytest.fixture(scope="module")
def params():
    return make_task().init(jax.random.key(0))


@pytest.fixture(scope="module")
def log_probabilities(params):
    """Of every token after each position, from the model's logits by NumPy."""
    source, decoder_input = jnp.array(SOURCE), jnp.array([[1, 9, 2], [1, 12, 3], [1, 0, 0]])
    logits = make_task().model.apply({"params": params}, source, decoder_input)
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_the_decoder_reads_the_target_behind_a_begin_mark():
    assert shift_right(jnp.asarray(TARGET)).tolist() == [[1, 9, 2], [1, 12, 3], [1, 0, 0]]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.7])
def test_the_loss_is_cross_entropy_with_the_smoothed_targets(
    params, log_probabilities, label_smoothing
):
    task = make_task(label_smoothing)
    loss, weight = jax.jit(task.loss)(params, BATCH, jax.random.key(1))
    wanted = (1 - label_smoothing) * np.eye(VOCAB)[TARGET] + label_smoothing / VOCAB
    entropy = -np.sum(wanted * log_probabilities, axis=-1)
    assert weight == 5
    assert_close(loss, np.sum(entropy[TARGET != 0]), 1e-5)


def test_counts_are_those_of_numpy(params, log_probabilities):
    counts = jax.jit(make_task().count)(params, BATCH)
    rows, places = np.nonzero(TARGET)
    assert counts.tokens == rows.size == 5
    assert_close(counts.nll, -log_probabilities[rows, places, TARGET[rows, places]].sum(), 1e-5)
    best = log_probabilities.argmax(axis=-1)
    assert counts.correct == np.sum((best == TARGET)[TARGET != 0])


def test_a_right_prediction_is_counted(params, log_probabilities):
    """The first prediction depends on no target, so it can be made right."""
    best = log_probabilities[:, 0].argmax(axis=-1)
    target = np.stack([best, np.zeros(3, int), np.zeros(3, int)], axis=1).astype(np.int32)
    counts = jax.jit(make_task().count)(params, Batch(SOURCE, target))
    assert counts.correct == counts.tokens == np.count_nonzero(best)


def test_dropout_changes_the_loss_but_not_the_counts(params):
    task = make_task(dropout_rate=0.5)
    loss = jax.jit(task.loss)
    first, second, again = (loss(params, BATCH, jax.random.key(seed))[0] for seed in (1, 2, 1))
    assert first == again != second
    assert jax.jit(task.count)(params, BATCH) == jax.jit(make_task().count)(params, BATCH)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(value):
    with pytest.raises(UserError, match=rf"label_smoothing must be in \[0, 1\), not {value}"):
        TranslationConfig(value)
