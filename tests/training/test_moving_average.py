import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_checkpoint import assert_same_bits, newest, open_checkpoints, zeros
from test_skipped_updates import loss, make_batch

from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig, make_optimizer
from flax_transformer.training.optimizer.update_rules import (
    MovingAverageState,
    exchange_average,
    keep_moving_average,
    moving_average,
)
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import TrainState, init_state, make_train_step

DECAY = 0.3
CONFIG = OptimizerConfig(
    "constant", 0.1, 1, name="adamw", weight_decay=0.1, clip_norm=1.0, ema_decay=DECAY
)
OPTIMIZER = make_optimizer(CONFIG, optax.constant_schedule(0.1))


def first_state() -> TrainState:
    variables = {
        "params": {"weights": np.ones(5, np.float32), "under the root": np.float32(2)},
        "running": {"mean": np.ones(5, np.float32)},
    }
    return init_state(variables, OPTIMIZER)


def train(batches, state=None, num_devices=1, **options: int) -> list[TrainState]:
    """The state before any and after each of the batches."""
    devices = choose_devices(devices=jax.devices()[:num_devices])
    step = make_train_step(loss, OPTIMIZER, max_skipped=3, axis_name=devices.axis_name, **options)
    update = devices.compile(step)
    states = [jax.device_get(first_state() if state is None else state)]
    held = devices.place(states[0])
    for batch in batches:
        held, _ = update(held, devices.share(batch), jax.random.key(0))
        states.append(jax.device_get(devices.whole(held)))
    return states


def average_of(state: TrainState) -> Any:
    average = moving_average(state.optimizer_state)
    assert average is not None
    return average


def test_the_average_is_that_of_the_parameters_after_each_update():
    """The decay is that of the first updates until it reaches its own at the third."""
    states = train([make_batch(seed) for seed in range(6)])
    for name in ("weights", "under the root"):
        expected = np.float64(states[0].params[name])
        for t, state in enumerate(states[1:], 1):
            d = min(DECAY, (1 + t) / (10 + t))
            expected = d * expected + (1 - d) * np.float64(state.params[name])
            np.testing.assert_allclose(average_of(state)[name], expected, rtol=1e-6)
        assert np.abs(expected - states[-1].params[name]).max() > 1e-3


def test_the_share_of_new_parameters_is_not_rounded_with_the_decay():
    """In float32, 1 - 0.9999 is off by a part in 6,000."""
    late = MovingAverageState(jnp.int32(10**6), jnp.float32(0))
    _, state = keep_moving_average(0.9999).update(jnp.float32(0.25), late, jnp.float32(0.75))
    assert isinstance(state, MovingAverageState)
    np.testing.assert_allclose(state.params, 1e-4, rtol=1e-6)


def test_a_step_may_use_the_memory_of_both_the_parameters_and_their_average():
    """Which at first are the same."""
    params = {"weights": jnp.ones(5), "under the root": jnp.float32(2)}
    state = init_state({"params": params, "running": {"mean": jnp.ones(5)}}, OPTIMIZER)
    devices = choose_devices(devices=jax.devices()[:1])
    update = devices.compile(make_train_step(loss, OPTIMIZER, max_skipped=3))
    after, _ = update(devices.place(state), make_batch(0), jax.random.key(0))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((params, average_of(state))))
    expected = train([make_batch(0)])[-1]
    jax.tree.map(np.testing.assert_array_equal, average_of(after), average_of(expected))


def test_a_skipped_update_leaves_the_average_alone():
    good = [make_batch(seed) for seed in range(3)]
    bad = make_batch(3, np.nan)
    expected = train(good)
    found = train([good[0], bad, bad, good[1], bad, good[2]])
    assert_same_bits(found[3].optimizer_state, expected[1].optimizer_state)
    assert_same_bits(found[-1].optimizer_state, expected[-1].optimizer_state)


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(2, 1), (1, 4), (2, 2)])
def test_devices_and_micro_batches_do_not_change_the_average(num_devices, accumulate_steps):
    batches = [make_batch(seed) for seed in range(3)]
    expected = train(batches)[-1]
    state = train(batches, num_devices=num_devices, accumulate_steps=accumulate_steps)[-1]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        average_of(state),
        average_of(expected),
    )


def test_a_model_is_used_with_the_average_where_there_is_one():
    state = train([make_batch(0)])[-1]
    assert state.variables == {"params": average_of(state), **state.statistics}
    without = init_state(state.variables, optax.adam(0.1))
    assert moving_average(without.optimizer_state) is None
    assert without.variables["params"] is without.params
    assert exchange_average(3, without.optimizer_state) == (3, without.optimizer_state)


def test_an_exchange_done_twice_changes_nothing():
    state = train([make_batch(0)])[-1]
    params, optimizer_state = exchange_average(state.params, state.optimizer_state)
    assert_same_bits(params, average_of(state))
    assert_same_bits(moving_average(optimizer_state), state.params)
    assert isinstance(optimizer_state[-1], MovingAverageState)
    assert_same_bits(
        exchange_average(params, optimizer_state), (state.params, state.optimizer_state)
    )


def test_checkpoints_give_readers_the_average_and_continue_with_all(tmp_path):
    batches = [make_batch(seed) for seed in range(4)]
    straight = train(batches)
    with contextlib.closing(open_checkpoints(tmp_path)) as checkpoints:
        for state in train(batches[:2])[1:]:
            checkpoints.save(state, {})
    with contextlib.closing(open_checkpoints(tmp_path)) as again:
        restored = newest(again, zeros(straight[0])).state
        shapes = jax.eval_shape(lambda: straight[0].variables)
        read, _ = again.mean_variables(shapes, [2])
    assert_same_bits(restored, straight[2])
    assert_same_bits(read, {"params": average_of(straight[2]), **straight[2].statistics})
    assert_same_bits(train(batches[2:], restored)[-1], straight[-1])
