import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import language_modeling_task, text_batch
from text_models import MODEL

from flax_transformer.errors import UserError
from flax_transformer.tasks.language_modeling.language_modeling_task import (
    LanguageModelingConfig,
    LanguageModelingTask,
)
from flax_transformer.training.step import init_state, make_train_step

VOCAB_SIZE = 13
TOKENS = np.array([[5, 7, 11, 3, 2, 12], [4, 9, 6, 0, 0, 0]], np.int32)


def make_task(label_smoothing: float = 0.0, **fields) -> LanguageModelingTask:
    model = dataclasses.replace(MODEL, **fields)
    return language_modeling_task(model, VOCAB_SIZE, label_smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_the_cross_entropy_of_the_next_tokens(smoothing):
    task = make_task(smoothing)
    params = task.init(jax.random.key(0))["params"]
    loss, weight, *_ = task.loss({"params": params}, text_batch(TOKENS), jax.random.key(1))
    logits = np.asarray(
        task.model.apply({"params": params}, jnp.asarray(TOKENS[:, :-1])), np.float64
    )
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = 0.0
    for row, target in enumerate(TOKENS[:, 1:]):
        for place, token in enumerate(target):
            if token:
                own = log_probs[row, place]
                expected -= (1 - smoothing) * own[token] + smoothing * own.mean()
    assert weight == 7
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_counts_are_those_of_the_loss_and_of_the_best_tokens():
    task = make_task(0.3)
    variables = task.init(jax.random.key(0))
    counts = task.count(variables, text_batch(TOKENS))
    plain, weight, *_ = make_task().loss(variables, text_batch(TOKENS), jax.random.key(1))
    assert float(counts["loss_sum"]) == pytest.approx(float(plain), rel=1e-6)
    assert counts["num_targets"] == weight
    logits: Any = task.model.apply(variables, jnp.asarray(TOKENS[:, :-1]))
    best = jnp.argmax(logits, axis=-1)
    assert counts["num_correct"] == np.sum((best == TOKENS[:, 1:]) & (TOKENS[:, 1:] > 0))


def test_dropout_is_that_of_the_training_alone():
    task = make_task(residual_dropout_rate=0.5)
    variables = task.init(jax.random.key(0))
    losses = [
        float(task.loss(variables, text_batch(TOKENS), jax.random.key(seed))[0])
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert task.count(variables, text_batch(TOKENS))["loss_sum"] != losses[0]


def test_a_batch_is_learned_by_heart():
    task, optimizer = make_task(), optax.adam(0.02)
    state = init_state(task.init(jax.random.key(0)), optimizer)
    update = jax.jit(make_train_step(task.loss, optimizer, max_skipped=1))
    for _ in range(80):
        state, metrics = update(state, text_batch(TOKENS), jax.random.key(1))
    assert metrics.loss < 0.05


def test_an_impossible_smoothing_is_refused():
    with pytest.raises(UserError, match=r"--task\.label-smoothing must be in \[0, 1\), not 1\.0"):
        LanguageModelingConfig(1.0)
