from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_transformer.tasks.task import Loss
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import TrainState, init_state, make_train_step

ROWS, WIDTH = 16, 5
ADAM = optax.adam(0.1)
# One row, which lies on one device, is enough.
MISTAKES = {"gradient of one parameter": 0.0, "loss": np.inf, "everything": np.nan}


def loss(variables, batch, rng):
    """The root's gradient at 0 is infinite times 0, which is no number, while the loss is one."""
    params = variables["params"]
    roots = jnp.sqrt(params["under the root"] * batch[:, 0])
    total = jnp.sum((batch @ params["weights"]) ** 2) + jnp.sum(roots)
    mean = 0.9 * variables["running"]["mean"] + 0.1 * jnp.mean(batch, axis=0)
    return Loss(total, jnp.float32(batch.shape[0]), {"running": {"mean": mean}}, {})


def make_batch(seed: int, mistake: float | None = None) -> np.ndarray:
    batch = np.random.default_rng(seed).uniform(0.5, 1, (ROWS, WIDTH)).astype(np.float32)
    if mistake is not None:
        batch[11, 0] = mistake
    return batch


def train(num_devices: int, batches: list[np.ndarray], max_skipped: int = 3):
    """The state and the metrics before any and after each of the batches, of every device."""
    devices = choose_devices(devices=jax.devices()[:num_devices])
    step = make_train_step(loss, ADAM, max_skipped=max_skipped, axis_name=devices.axis_name)
    update = devices.compile(step)
    variables = {
        "params": {"weights": np.ones(WIDTH, np.float32), "under the root": np.float32(2)},
        "running": {"mean": np.ones(WIDTH, np.float32)},
    }
    state = devices.place(init_state(variables, ADAM))
    states, metrics = [jax.device_get(state)], []
    for batch in batches:
        state, found = update(state, devices.share(batch), jax.random.key(0))
        states.append(jax.device_get(state))
        metrics.append(jax.device_get(found))
    return states, metrics


def bits(state: TrainState) -> list[bytes]:
    """Of all but the numbers of steps."""
    kept = state._replace(step=0, skipped=0)  # pyright: ignore[reportArgumentType]
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(kept)]


@pytest.mark.parametrize("num_devices", [1, 2, 8])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_step_that_is_not_finite_changes_no_bit_on_any_device(num_devices, mistake):
    (_, before, after), (first, second) = train(
        num_devices, [make_batch(0), make_batch(1, mistake)]
    )
    assert bits(after) == bits(before)
    assert np.unique(after.step).tolist() == [2]
    assert np.unique(after.skipped).tolist() == [1]
    assert np.isfinite(first.gradient_norm).all()
    assert not first.skipped.any()
    assert not np.isfinite(second.gradient_norm).any()
    assert np.isfinite(second.loss).all() == (mistake == 0.0)
    assert (second.skipped == 1).all()


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_training_goes_on_as_if_the_skipped_batches_had_not_been(num_devices):
    good = [make_batch(seed) for seed in range(3)]
    bad = make_batch(3, np.nan)
    expected, _ = train(num_devices, good)
    found, metrics = train(num_devices, [good[0], bad, bad, good[1], bad, good[2]])
    assert bits(found[-1]) == bits(expected[-1]) != bits(expected[-2])
    skipped = [int(np.max(each.skipped)) for each in metrics]
    assert skipped == [0, 1, 2, 0, 1, 0]


@pytest.mark.parametrize("num_devices", [1, 8])
def test_after_too_many_in_a_row_nothing_is_updated_any_more(num_devices):
    good, bad = make_batch(0), make_batch(1, np.inf)
    states, metrics = train(num_devices, [good, bad, bad, good, good], max_skipped=2)
    assert bits(states[0]) != bits(states[1])
    for state in states[2:]:
        assert bits(state) == bits(states[1])
    assert [int(np.max(each.skipped)) for each in metrics] == [0, 1, 2, 3, 4]
    # So the host learns after which step it happened.
    assert int(np.max(states[-1].step - states[-1].skipped)) == 1


def test_a_step_that_never_updates_is_refused():
    with pytest.raises(ValueError, match="max_skipped must be at least 1, not 0"):
        make_train_step(loss, ADAM, max_skipped=0)


def test_the_state_is_written_where_it_lay_without_a_second_one():
    variables = {
        "params": {"weights": np.ones(10_007, np.float32), "under the root": np.float32(2)},
        "running": {"mean": np.ones(10_007, np.float32)},
    }
    state = init_state(variables, ADAM)
    batch = np.ones((1, 10_007), np.float32)
    update = jax.jit(make_train_step(loss, ADAM, max_skipped=1), donate_argnums=0)
    memory: Any = update.lower(state, batch, jax.random.key(0)).compile().memory_analysis()
    num_bytes = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state))
    assert memory.alias_size_in_bytes == num_bytes
    # The sum over rows and the gradient; the state has four arrays of this size.
    assert memory.temp_size_in_bytes < 2.5 * 10_007 * 4
