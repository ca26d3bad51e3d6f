"""Every model is made, applied, trained and decoded while JAX does not convert or broadcast."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from small_models import MODELS, decoder, tokens, translator
from strictness import strict
from test_targets_of_objectives import (
    classification,
    images_of,
    language_model,
    masked_language_model,
    translation,
)

from flax_transformer.inspection.attention_weights import attention_weights
from flax_transformer.tasks.task import Loss
from flax_transformer.training.step import init_state, make_train_step, split_variables


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_drawn_applied_and_differentiated(name):
    small = MODELS[name]
    with strict():
        variables: Any = jax.eval_shape(small.init)
        outputs = jax.eval_shape(small.apply, variables)
        assert jnp.issubdtype(outputs.dtype, jnp.floating)
        gradient = jax.eval_shape(jax.grad(total_in_training(small)), *parts(variables))
    assert jax.tree.map(shape_and_type, gradient) == jax.tree.map(
        shape_and_type, variables["params"]
    )


@pytest.mark.parametrize("small", [translator(), decoder()], ids=["translator", "decoder"])
@pytest.mark.parametrize("rows", [2, 6], ids=["greedy", "beam"])
def test_a_model_decodes(small, rows):
    """With several hypotheses for each example, in another order than before."""

    def decode(variables):
        model, is_translator = small.model, len(small.inputs) == 2
        start = (jnp.asarray(tokens()), 5) if is_translator else (2, 5)
        cache = model.apply(variables, *start, method="start")
        lineage = jnp.zeros((rows, 5), jnp.int32)
        cache = cache._replace(
            history=jnp.zeros((rows, 5), bool), lineage=lineage if rows > 2 else None
        )
        if rows > 2:
            written = jax.tree.map(lambda x: jnp.repeat(x, rows // 2, room_axis(x)), cache.written)
            cache = cache._replace(written=written)
        return model.apply(variables, jnp.ones((rows, 1), jnp.int32), cache, method="decode")

    with strict():
        logits, _ = jax.eval_shape(decode, jax.eval_shape(small.init))
    assert (logits.shape[:2], logits.dtype) == ((rows, 1), jnp.float32)


def room_axis(array: jax.Array) -> int:
    """The axis of places; see `functional.Written`."""
    return array.shape.index(5)


@pytest.mark.parametrize("name", ["translator", "gpt2-small", "bert-base", "ViT-S/16"])
def test_weights_are_shown(name):
    small = MODELS[name]
    model: Any = small.model
    with strict():
        shapes = jax.eval_shape(
            lambda variables: attention_weights(model, variables, small.arrays()),
            jax.eval_shape(small.init),
        )
    assert shapes


@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("name", ["translator", "encoder norm batch"])
def test_a_training_step_is_made(name, accumulate_steps):
    small = MODELS[name]

    def loss(variables, batch, rng):
        outputs, statistics = small.train(*split_variables(variables))
        total = jnp.square(outputs).sum()
        return Loss(total, jnp.float32(outputs.size), statistics, {})

    step = make_train_step(loss, optax.sgd(0.1), max_skipped=3, accumulate_steps=accumulate_steps)
    with strict():
        state = jax.eval_shape(lambda: init_state(small.init(), optax.sgd(0.1)))
        key = jax.eval_shape(lambda: jax.random.key(0))
        batch = jax.ShapeDtypeStruct((4, 3), jnp.float32)
        after, _ = jax.eval_shape(step, state, batch, key)
    assert jax.tree.map(shape_and_type, after) == jax.tree.map(shape_and_type, state)


@pytest.mark.parametrize("make", [translation, language_model, masked_language_model])
def test_the_loss_of_texts_is_differentiated(make):
    task, batch_of = make()
    with strict():
        variables = jax.eval_shape(task.init, jax.random.key(0))
        jax.eval_shape(jax.grad(loss_of(task, batch_of(None))), variables["params"])


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_loss_of_images_is_differentiated(mixup):
    task, batch = classification(mixup), images_of(2, 0, 1)
    with strict():
        variables = jax.eval_shape(task.init, jax.random.key(0))
        jax.eval_shape(jax.grad(loss_of(task, batch)), variables["params"])
        jax.eval_shape(lambda variables: task.predict(variables, batch), variables)


def loss_of(task: Any, batch: Any) -> Any:
    return lambda params: task.loss({"params": params}, batch, jax.random.key(1))[0]


def total_in_training(small: Any) -> Any:
    def total(params, statistics):
        outputs, _ = small.train(params, statistics)
        return outputs.astype(jnp.float32).sum()

    return total


def parts(variables: Any) -> tuple[Any, Any]:
    statistics = {name: values for name, values in variables.items() if name != "params"}
    return variables["params"], statistics


def shape_and_type(array: Any) -> tuple[Any, ...]:
    return array.shape, array.dtype
