import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_close
from small_tasks import pair_batch, translation_task

from flax_transformer.data.batches.batch import Batch
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.modules.layer_options import ComputeType
from flax_transformer.tasks.task import Loss
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig, make_optimizer
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step, split_variables

pytestmark = pytest.mark.usefixtures("quickly_compiled")
VOCAB, ROWS = 13, 16
# Not Adam, which would blow up the rounding of gradients that are zero.
SGD = optax.sgd(0.1, momentum=0.9)


def quadratic(variables, batch, rng):
    """A loss that takes no time to compile: (row · params)^2, each row of weight 1."""
    params, statistics = split_variables(variables)
    return Loss(jnp.sum((batch @ params) ** 2), jnp.float32(batch.shape[0]), statistics, {})


@functools.cache
def make_task(dtype: ComputeType = "float32", norm: str = "layer"):
    """A small model's task and its first variables."""
    config = EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=6,
        d_ff=11,
        num_heads=2,
        residual_dropout_rate=0.0,
        dtype=dtype,
        norm=norm,
    )
    task = translation_task(config, VOCAB)
    return task, jax.device_get(task.init(jax.random.key(0)))


def make_batch(seed: int, num_filled: int = 7) -> Batch:
    """Sentences of random lengths in the first rows, nothing but padding in the others."""
    rng = np.random.default_rng(seed)

    def side(length):
        tokens = rng.integers(3, VOCAB, (ROWS, length), dtype=np.int32)
        lengths = rng.integers(1, length + 1, ROWS) * (np.arange(ROWS) < num_filled)
        return np.where(np.arange(length) < lengths[:, None], tokens, 0)

    return pair_batch(side(5), side(7))


def train(
    num_devices: int = 1,
    optimizer: optax.GradientTransformation = SGD,
    batches: list[Batch] | None = None,
    dtype: ComputeType = "float32",
    norm: str = "layer",
    **options: int,
):
    """The first state, the state after the batches, and the last metrics."""
    task, variables = make_task(dtype, norm)
    devices = choose_devices(devices=jax.devices()[:num_devices])
    first = jax.device_get(init_state(variables, optimizer))
    step = make_train_step(
        task.loss, optimizer, max_skipped=1, axis_name=devices.axis_name, **options
    )
    update = devices.compile(step)
    state, metrics = devices.place(first), None
    for batch in batches or [make_batch(seed) for seed in range(3)]:
        state, metrics = update(state, devices.share(batch), jax.random.key(1))
    return first, *jax.device_get((devices.whole(state), devices.whole(metrics)))


@pytest.fixture(scope="module")
def one_device():
    return train()


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(2, 1), (8, 1), (1, 4), (2, 2)])
def test_devices_and_micro_batches_do_not_change_the_result(
    one_device, num_devices, accumulate_steps
):
    first, expected, expected_metrics = one_device
    _, state, metrics = train(num_devices, accumulate_steps=accumulate_steps)
    assert int(state.step) == 3
    assert metrics.weight == expected_metrics.weight == np.count_nonzero(make_batch(2).target)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), metrics, expected_metrics)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), state.params, expected.params)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max() > 1e-3, first.params, expected.params)
    assert all(jax.tree.leaves(moved))


def test_a_batch_of_padding_changes_nothing():
    optimizer = make_optimizer(OptimizerConfig(clip_norm=1.0), optax.constant_schedule(0.1))
    first, state, metrics = train(1, optimizer, [make_batch(0, num_filled=0)])
    jax.tree.map(np.testing.assert_array_equal, state.params, first.params)
    assert [float(value) for value in metrics[:4]] == [0, 0, 0, 0]


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(1, 1), (1, 4), (2, 2), (8, 1)])
def test_statistics_take_in_micro_batches_in_order_and_are_averaged_over_devices(
    num_devices, accumulate_steps
):
    def loss(variables, batch, rng):
        running = variables["running"]["mean"]
        new = {"running": {"mean": 0.9 * running + 0.1 * jnp.mean(batch, axis=0)}}
        return quadratic(variables, batch, rng)._replace(statistics=new)

    devices = choose_devices(devices=jax.devices()[:num_devices])
    step = make_train_step(
        loss,
        SGD,
        max_skipped=1,
        accumulate_steps=accumulate_steps,
        axis_name=devices.axis_name,
    )
    update, batch = devices.compile(step), np.random.default_rng(0).normal(size=(ROWS, 5))
    variables = {"params": np.ones(5, np.float32), "running": {"mean": np.ones(5, np.float32)}}
    state = devices.place(init_state(variables, SGD))
    expected = np.ones(5)
    for _ in range(2):
        state, _ = update(state, devices.share(batch.astype(np.float32)), jax.random.key(1))
        copies = [expected] * num_devices
        for device, rows in enumerate(np.split(batch, num_devices)):
            for part in (rows[i::accumulate_steps] for i in range(accumulate_steps)):
                copies[device] = 0.9 * copies[device] + 0.1 * part.mean(axis=0)
        expected = np.mean(copies, axis=0)
    found = np.reshape(state.statistics["running"]["mean"], (num_devices, 5))
    np.testing.assert_array_equal(found, np.broadcast_to(found[0], found.shape))
    assert_close(found[0], expected, 1e-6)


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(1, 1), (8, 1), (2, 2)])
def test_a_model_with_batch_normalization_trains(num_devices, accumulate_steps):
    """Also where some devices get nothing but padding."""
    first, state, metrics = train(num_devices, norm="batch", accumulate_steps=accumulate_steps)
    assert set(state.variables) == {"params", "batch_stats"}
    assert np.isfinite(float(metrics.loss))
    for collection in ("params", "statistics"):
        moved = jax.tree.map(
            lambda a, b: np.isfinite(b).all() and (a != b).any(),
            getattr(first, collection),
            getattr(state, collection),
        )
        assert all(jax.tree.leaves(moved)), collection


def test_a_model_without_statistics_has_none(one_device):
    assert one_device[0].statistics == one_device[1].statistics == {}
    assert set(one_device[1].variables) == {"params"}


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_a_shape_is_compiled_once(num_devices):
    shapes = []

    def loss(variables, batch, rng):
        shapes.append(batch.shape)
        return quadratic(variables, batch, rng)

    devices = choose_devices(devices=jax.devices()[:num_devices])
    update = devices.compile(make_train_step(loss, SGD, max_skipped=1, axis_name=devices.axis_name))
    state = devices.place(init_state({"params": np.ones(5, np.float32)}, SGD))
    for num_rows in (16, 16, 24, 16, 24):
        batch = devices.share(np.ones((num_rows, 5), np.float32))
        state, _ = update(state, batch, jax.random.key(1))
    assert shapes == [(16 // num_devices, 5), (24 // num_devices, 5)]


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_devices_hold_the_same_state_in_memory_that_is_used_again(num_devices):
    devices = choose_devices(devices=jax.devices()[:num_devices])
    update = devices.compile(
        make_train_step(quadratic, SGD, max_skipped=1, axis_name=devices.axis_name)
    )
    rows = np.random.default_rng(0).normal(size=(ROWS, 5)).astype(np.float32)
    batch, rng = devices.share(rows), jax.random.key(1)
    states = [devices.place(init_state({"params": np.ones(5, np.float32)}, SGD))]
    for _ in range(2):
        states.append(update(states[-1], batch, rng)[0])
    copies = np.reshape(states[2].params, (num_devices, 5))
    np.testing.assert_array_equal(copies, np.broadcast_to(copies[0], copies.shape))
    assert states[1].params.is_deleted()
    assert not states[2].params.is_deleted()


def test_bfloat16_computes_but_does_not_store(one_device):
    _, state, metrics = train(dtype="bfloat16")
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {leaf.dtype for leaf in floats} == {jnp.dtype("float32")}
    expected = float(one_device[2].loss)
    assert float(metrics.loss) != expected
    assert float(metrics.loss) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(1, 1), (1, 3), (8, 1), (2, 3)])
def test_dropout_is_drawn_anew_for_each_step_device_and_micro_batch(num_devices, accumulate_steps):
    """The norm of a sum of n independent vectors grows with the root of n, of equal ones with n."""
    width = 10_007

    def loss(variables, batch, rng):
        total = jnp.sum(variables["params"] * jax.random.normal(rng, (width,)))
        return Loss(total, jnp.float32(batch.shape[0]), {}, {})

    devices = choose_devices(devices=jax.devices()[:num_devices])
    optimizer = optax.sgd(1.0)
    step = make_train_step(
        loss,
        optimizer,
        max_skipped=1,
        accumulate_steps=accumulate_steps,
        axis_name=devices.axis_name,
    )
    update = devices.compile(step)
    num_draws = num_devices * accumulate_steps
    batch = devices.share(np.zeros(num_draws, np.float32))
    state = devices.place(init_state({"params": np.zeros(width, np.float32)}, optimizer))
    for num_steps in (1, 2):
        state, metrics = update(state, batch, jax.random.key(0))
        # The mean gradient, of weight 1 for each draw, and the sum of those of all steps.
        expected = np.sqrt(width / num_draws)
        assert devices.whole(metrics).gradient_norm == pytest.approx(expected, rel=0.05)
        norm = np.linalg.norm(devices.whole(state).params)
        assert norm == pytest.approx(expected * np.sqrt(num_steps), rel=0.05)
