import ast
import contextlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from etils import epath

import flax_transformer
from flax_transformer.training.checkpoints.checkpoints import Checkpoints, Restored
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig, make_optimizer
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS
from flax_transformer.training.step import TrainState, init_state

pytestmark = pytest.mark.platforms

SOURCES = sorted(Path(flax_transformer.__file__).parent.rglob("*.py"))


def make_state(step: int) -> TrainState:
    rng = np.random.default_rng(step)
    variables = {
        "params": {"a": {"kernel": rng.normal(size=(3, 5))}, "b": rng.normal(size=7) * 1e-30},
        "batch_stats": {"a": {"mean": rng.normal(size=3)}},
    }
    variables = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), variables)
    state = init_state(variables, optax.adam(optax.constant_schedule(0.1)))
    moments = jax.tree.map(lambda x: x + x.dtype.type(step), state.optimizer_state)
    return state._replace(
        step=jnp.int32(step), optimizer_state=moments, skipped=jnp.int32(step % 3)
    )


def open_checkpoints(folder: Path | epath.Path, scores=None, is_reader=False) -> Checkpoints:
    """Keeps two; those of even steps are due."""
    is_due = lambda step: step % 2 == 0  # noqa: E731
    place = epath.Path(folder) / "checkpoints"
    return Checkpoints(place, 2, is_due, lambda: scores or {}, is_reader)


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = open_checkpoints(tmp_path)
    yield checkpoints
    checkpoints.close()


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def newest(checkpoints: Checkpoints, like: TrainState) -> Restored:
    restored = checkpoints.restore_newest(like)
    assert restored is not None
    return restored


def zeros(state: TrainState) -> TrainState:
    return jax.tree.map(jnp.zeros_like, state)


@pytest.mark.parametrize("statistics", [True, False])
def test_a_state_and_its_notes_are_restored_bit_for_bit(tmp_path, checkpoints, statistics):
    state = make_state(11)
    state = state if statistics else state._replace(statistics={})
    checkpoints.save(state, {"pending": [[0.1, 1e-30]]})
    checkpoints.close()
    with contextlib.closing(open_checkpoints(tmp_path)) as again:
        assert again.steps() == [11]
        restored = again.restore(zeros(state), 11)
        last = newest(again, zeros(state))
    assert restored.notes == last.notes == {"pending": [[0.1, 1e-30]]}
    assert_same_bits(restored.state, state)
    assert_same_bits(last.state, state)


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in OPTIMIZERS), ("adam", "bfloat16")]
)
def test_the_state_of_every_optimizer_is_restored_bit_for_bit(tmp_path, name, dtype):
    further = {"layer_decay": 0.5, "clip_norm": 1.0, "ema_decay": 0.9, "momentum_dtype": dtype}
    config = OptimizerConfig(name=name, **further)
    optimizer = make_optimizer(config, optax.constant_schedule(0.1))
    params = {"encoder": {"kernel": jnp.ones((2, 3, 5))}, "classifier": {"bias": jnp.ones(7)}}
    state = init_state({"params": params}, optimizer)
    gradient = jax.tree.map(lambda x: 0.1 * x, params)
    for _ in range(2):
        updates, moments = optimizer.update(gradient, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state._replace(step=state.step + 1, params=params, optimizer_state=moments)
    with contextlib.closing(open_checkpoints(tmp_path)) as checkpoints:
        checkpoints.save(state, {})
    with contextlib.closing(open_checkpoints(tmp_path)) as again:
        assert_same_bits(newest(again, zeros(state)).state, state)


@pytest.mark.parametrize(
    ("scores", "steps", "best", "last", "kept"),
    [
        ({2: 5.0, 6: 4.0, 8: 3.0}, [2, 4, 6, 8, 10], 2, [8, 10], [2, 8, 10]),
        ({2: 3.0, 4: 7.0, 6: 4.0, 8: 7.0}, [2, 4, 6, 8, 10], 4, [8, 10], [4, 8, 10]),
        ({2: 3.0, 8: 6.0}, [2, 4, 6, 8], 8, [6, 8], [6, 8]),
        ({}, [2, 4, 6], None, [4, 6], [4, 6]),
        ({}, [2, 4, 5], None, [2, 4], [2, 4, 5]),
        ({}, [2, 4, 5, 6, 7], None, [4, 6], [4, 6, 7]),
        ({}, [1], None, [1], [1]),
    ],
)
def test_the_newest_the_newest_due_and_the_best_are_kept(tmp_path, scores, steps, best, last, kept):
    seen = {}
    with contextlib.closing(open_checkpoints(tmp_path, seen)) as checkpoints:
        for step in steps:
            checkpoints.save(make_state(step), {})
            seen |= {step: scores[step]} if step in scores else {}
    with contextlib.closing(open_checkpoints(tmp_path, scores)) as again:
        again.prune()
        assert again.steps() == kept
        assert again.last_steps() == last
        assert again.best_step() == best


def test_averaged_variables_are_their_mean(checkpoints):
    states = [make_state(step) for step in (2, 4)]
    for state in states:
        checkpoints.save(state, {})
    shapes = jax.eval_shape(lambda: states[0].variables)
    mean, steps = checkpoints.mean_variables(shapes, [2, 4])
    assert steps == [2, 4]
    expected = jax.tree.map(
        lambda *xs: np.mean(xs, axis=0, dtype=np.float64).astype(np.float32),
        *(state.variables for state in states),
    )
    jax.tree.map(np.testing.assert_array_equal, mean, expected)
    only, _ = checkpoints.mean_variables(shapes, [4])
    jax.tree.map(np.testing.assert_array_equal, only, states[1].variables)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_pickled(path):
    """A pickled file runs code of whoever wrote it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    assert "allow_pickle" not in {node.arg for node in nodes if isinstance(node, ast.keyword)}
