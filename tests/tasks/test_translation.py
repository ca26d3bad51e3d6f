from typing import Any, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close, smoothed_targets
from small_tasks import pair_batch, to_segments, translation_task

from flax_transformer.errors import UserError
from flax_transformer.functional.losses import SmoothingOver
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.tasks.target_tokens import shift_right
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.step import split_variables

VOCAB = 13
SOURCE = np.array([[5, 7, 2, 0, 0], [3, 4, 6, 8, 2], [0, 0, 0, 0, 0]], np.int32)
TARGET = np.array([[9, 2, 0], [12, 3, 2], [0, 0, 0]], np.int32)
BATCH = pair_batch(SOURCE, TARGET)


def make_task(
    label_smoothing=0.1, dropout_rate=0.0, norm="layer", smoothing_over: SmoothingOver = "vocab"
) -> TranslationTask:
    config = EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=6,
        d_ff=11,
        num_heads=2,
        residual_dropout_rate=dropout_rate,
        norm=norm,
    )
    task = TranslationConfig(label_smoothing, smoothing_over)
    return translation_task(config, VOCAB, task)


@pytest.fixture(scope="module")
def variables():
    return make_task().init(jax.random.key(0))


@pytest.fixture(scope="module")
def log_probabilities(variables):
    """Of every token after each position, from the model's logits by NumPy."""
    source, decoder_input = jnp.array(SOURCE), jnp.array([[1, 9, 2], [1, 12, 3], [1, 0, 0]])
    logits = make_task().model.apply(
        variables,
        source,
        decoder_input,
        source_segments=to_segments(SOURCE),
        target_segments=to_segments(TARGET),
    )
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_the_decoder_reads_the_target_behind_a_begin_mark():
    shifted = shift_right(jnp.asarray(TARGET), to_segments(TARGET), bos_id=1)
    is_read = TARGET != 0
    assert shifted[is_read].tolist() == [1, 9, 1, 12, 3]


@pytest.mark.parametrize(
    ("label_smoothing", "smoothing_over"),
    [(0.0, "vocab"), *((0.7, over) for over in get_args(SmoothingOver))],
)
def test_the_loss_is_cross_entropy_with_the_smoothed_targets(
    variables, log_probabilities, label_smoothing, smoothing_over
):
    task = make_task(label_smoothing, smoothing_over=smoothing_over)
    loss = jax.jit(task.loss)
    total, weight, statistics, _ = loss(variables, BATCH, jax.random.key(1))
    wanted = [
        smoothed_targets(int(target), VOCAB, label_smoothing, smoothing_over)
        for target in TARGET.ravel()
    ]
    entropy = -np.sum(np.reshape(wanted, (*TARGET.shape, VOCAB)) * log_probabilities, axis=-1)
    assert weight == 5
    assert_close(total, np.sum(entropy[TARGET != 0]), 1e-5)
    assert statistics == {}


def test_counts_are_those_of_numpy(variables, log_probabilities):
    counts = jax.jit(make_task().count)(variables, BATCH)
    rows, places = np.nonzero(TARGET)
    assert counts["num_targets"] == rows.size == 5
    assert_close(
        counts["loss_sum"], -log_probabilities[rows, places, TARGET[rows, places]].sum(), 1e-5
    )
    best = log_probabilities.argmax(axis=-1)
    assert counts["num_correct"] == np.sum((best == TARGET)[TARGET != 0])


def test_a_right_prediction_is_counted(variables, log_probabilities):
    """The first prediction depends on no target, so it can be made right."""
    best = log_probabilities[:, 0].argmax(axis=-1)
    target = np.stack([best, np.zeros(3, int), np.zeros(3, int)], axis=1).astype(np.int32)
    counts = jax.jit(make_task().count)(variables, pair_batch(SOURCE, target))
    assert counts["num_correct"] == counts["num_targets"] == np.count_nonzero(best)


def test_dropout_changes_the_loss_but_not_the_counts(variables):
    task = make_task(dropout_rate=0.5)
    loss, params = jax.jit(task.loss), variables["params"]
    first, second, again = (
        loss({"params": params}, BATCH, jax.random.key(seed))[0] for seed in (1, 2, 1)
    )
    assert first == again != second
    assert jax.jit(task.count)(variables, BATCH) == jax.jit(make_task().count)(variables, BATCH)


def test_batch_normalization_learns_statistics_in_training_and_counts_with_them():
    task = make_task(norm="batch")
    params, statistics = split_variables(task.init(jax.random.key(0)))
    loss, count = jax.jit(task.loss), jax.jit(task.count)
    total, _, new, _ = loss({"params": params, **statistics}, BATCH, jax.random.key(1))
    assert jax.tree.structure(new) == jax.tree.structure(statistics)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), new, statistics)
    assert all(jax.tree.leaves(moved))
    # In training the batch's own statistics count, else the running ones.
    assert loss({"params": params, **new}, BATCH, jax.random.key(1))[0] == total
    before, after = (count({"params": params, **x}, BATCH)["loss_sum"] for x in (statistics, new))
    assert before != after
    rows = [pair_batch(SOURCE[[i, i, i]], TARGET[[i, i, i]]) for i in range(3)]
    apart = sum(count({"params": params, **new}, row)["loss_sum"] for row in rows) / 3
    assert_close(apart, after, 1e-5)


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(value):
    with pytest.raises(UserError, match=rf"label-smoothing must be in \[0, 1\), not {value}"):
        TranslationConfig(value)


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_set_to_smooth_over_is_refused():
    with pytest.raises(UserError, match=r"--task\.smoothing-over 'other': did you mean 'others'\?"):
        TranslationConfig(0.1, cast(Any, "other"))
