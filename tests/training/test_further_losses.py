"""Losses of the model's own, such as one that balances experts, beside the loss of the task."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from reference import assert_close

from flax_transformer.tasks.task import Loss, apply_in_training, draw, loss_of
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_gradient, make_train_step

ROWS, WIDTH = 16, 5
SGD = optax.sgd(0.1)


class Layer(nn.Module):
    """Stores two losses: the mean square of its outputs, and of its inputs."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.BatchNorm(use_running_average=False, momentum=0.9)(x)
        y = nn.Dense(WIDTH, use_bias=False)(x)
        self.sow("losses", "size", 0.5 * jnp.mean(y**2))
        self.sow("losses", "other", jnp.mean(x**2))
        return y


class Model(nn.Module):
    is_scanned: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        if not self.is_scanned:
            return Layer()(Layer()(x))

        def step(layer: Layer, x: jax.Array) -> tuple[jax.Array, None]:
            return layer(x), None

        axes: Any = {"params": 0, "batch_stats": 0, "losses": 0}
        scan = nn.scan(step, variable_axes=axes, split_rngs={"params": True}, length=2)
        return scan(Layer(), x)[0]


def loss(variables, batch, rng, model=None, names=("size", "other")) -> Loss:
    """The sum of the exponentials of the outputs; every row has weight 1.

    The normalized outputs themselves add up to zero.
    """
    outputs, collections = apply_in_training(
        model or Model(), variables, rng, batch, deterministic=False
    )
    found = loss_of(jnp.sum(jnp.exp(outputs)), jnp.float32(len(batch)), collections)
    return found._replace(extra={name: found.extra[name] for name in names})


@functools.cache
def variables(is_scanned: bool = False):
    model = Model(is_scanned)
    return jax.device_get(draw(model, jax.random.key(0), jnp.ones((2, WIDTH)), method="__call__"))


def make_batch() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)


def gradient_of(num_devices: int, accumulate_steps: int, function=loss):
    devices = choose_devices(devices=jax.devices()[:num_devices])
    gradient = make_gradient(
        function, accumulate_steps=accumulate_steps, axis_name=devices.axis_name
    )
    state = devices.place(init_state(variables(), SGD))
    compiled = devices.compile(gradient, keep_state=True)
    return jax.device_get(
        devices.whole(compiled(state, devices.share(make_batch()), jax.random.key(0)))
    )


def assert_same(actual, expected) -> None:
    """Compares whole gradients: some parameters' own are nothing but rounding."""
    assert_close(ravel_pytree(actual)[0], ravel_pytree(expected)[0], 1e-5)


def test_sown_losses_are_no_variables_and_no_statistics():
    assert set(variables()) == {"params", "batch_stats"}
    found = loss(variables(), make_batch(), jax.random.key(0))
    assert set(found.statistics) == {"batch_stats"}
    assert jax.tree.structure(found.statistics["batch_stats"]) == jax.tree.structure(
        variables()["batch_stats"]
    )


@pytest.mark.parametrize("is_scanned", [False, True])
def test_losses_of_one_name_are_added_over_the_layers(is_scanned):
    model = Model(is_scanned)
    found = loss(variables(is_scanned), make_batch(), jax.random.key(0), model)
    _, stored = apply_in_training(
        model, variables(is_scanned), jax.random.key(0), make_batch(), deterministic=False
    )
    leaves = jax.tree_util.tree_leaves_with_path(stored["losses"])
    sizes = [np.sum(leaf) for path, leaf in leaves if "size" in jax.tree_util.keystr(path)]
    assert set(found.extra) == {"size", "other"}
    assert_close(found.extra["size"], ROWS * np.sum(sizes), 1e-6)


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(1, 1), (1, 4), (2, 1), (2, 2)])
def test_the_gradient_is_that_of_the_sum_whatever_the_parts(num_devices, accumulate_steps):
    """Each part has its own means, which are weighted by its rows."""
    shares = np.split(make_batch(), num_devices)
    parts = [rows[i::accumulate_steps] for rows in shares for i in range(accumulate_steps)]

    def by_hand(params):
        total, extra = 0.0, 0.0
        for part in parts:
            found = loss({"params": params, **statistics}, part, jax.random.key(0))
            total += found.sum
            extra += sum(found.extra.values())
        return (total + extra) / ROWS, extra / ROWS

    params = variables()["params"]
    statistics = {"batch_stats": variables()["batch_stats"]}
    (_, extra), expected = jax.value_and_grad(by_hand, has_aux=True)(params)
    found = gradient_of(num_devices, accumulate_steps)
    assert_same(found.mean, expected)
    assert_close(sum(found.extra.values()), extra, 1e-5)


def test_a_step_reports_the_means_beside_the_loss_of_the_task():
    step = jax.jit(make_train_step(loss, SGD, max_skipped=1))
    state = init_state(variables(), SGD)
    after, metrics = step(state, make_batch(), jax.random.key(0))
    found = loss(variables(), make_batch(), jax.random.key(0))
    assert set(metrics.extra) == {"size", "other"}
    assert_close(metrics.loss, found.sum / ROWS, 1e-5)
    assert_close(metrics.extra["size"], found.extra["size"] / ROWS, 1e-5)
    # A checkpoint holds the state, and so no losses.
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_without_further_losses_the_gradient_is_that_of_the_task_alone():
    plain = gradient_of(1, 1, functools.partial(loss, names=()))
    key = jax.random.key(0)
    total = jax.grad(
        lambda params: loss({**variables(), "params": params}, make_batch(), key).sum / ROWS
    )(variables()["params"])
    assert_same(plain.mean, total)
    assert plain.extra == {}


def test_an_infinite_further_loss_skips_the_update():
    def infinite(variables, batch, rng) -> Loss:
        found = loss(variables, batch, rng)
        return found._replace(extra={"size": found.extra["size"] / 0})

    step = jax.jit(make_train_step(infinite, SGD, max_skipped=2))
    _, metrics = step(init_state(variables(), SGD), make_batch(), jax.random.key(0))
    assert int(metrics.skipped) == 1
