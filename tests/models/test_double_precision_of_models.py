"""With double precision as JAX's default, every model has the same parameters and outputs."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from double_precision import enable_x64
from small_models import MODELS, PUBLISHED

from flax_transformer.tasks.task import Loss
from flax_transformer.training.step import init_state, make_train_step, split_variables

pytestmark = pytest.mark.usefixtures("double")
# These run on every supported set of versions.
VERSIONED = {*PUBLISHED, "translator", "decoder scanned"}
TYPES = {jnp.dtype("float32"), jnp.dtype("int32")}


def types(tree: Any) -> set[Any]:
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.platforms if name in VERSIONED else ())
        for name in MODELS
    ],
)
def test_parameters_and_results_are_not_of_double_precision(name):
    small = MODELS[name]
    variables: Any = jax.eval_shape(small.init)
    assert types(variables) == {jnp.dtype("float32")}
    outputs = jax.eval_shape(small.apply, variables)
    assert outputs.dtype in (jnp.float32, jnp.bfloat16)
    with enable_x64(False):
        expected = jax.eval_shape(small.apply, jax.eval_shape(small.init))
    assert outputs.dtype == expected.dtype


@pytest.mark.platforms
@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize(
    "name", [*PUBLISHED, "translator", "encoder norm batch", "decoder scanned"]
)
def test_a_training_step_keeps_the_types_of_the_state(name, accumulate_steps):
    small = MODELS[name]

    def loss(variables, batch, rng):
        outputs, statistics = small.train(*split_variables(variables))
        total = jnp.square(outputs.astype(jnp.float32)).sum()
        return Loss(total, jnp.float32(outputs.size), statistics, {})

    optimizer = optax.adam(0.1)
    step = make_train_step(loss, optimizer, max_skipped=3, accumulate_steps=accumulate_steps)
    state = jax.eval_shape(lambda: init_state(small.init(), optimizer))
    key = jax.eval_shape(lambda: jax.random.key(0))
    after, metrics = jax.eval_shape(step, state, jax.ShapeDtypeStruct((4, 3), jnp.float32), key)
    assert types(state) == TYPES
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert types(metrics) <= TYPES
