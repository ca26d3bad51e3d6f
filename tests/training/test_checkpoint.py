import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flax_transformer
from flax_transformer.training.checkpoint import Checkpoints
from flax_transformer.training.step import TrainState, init_state

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
    return state._replace(step=jnp.int32(step), optimizer_state=moments)


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    yield checkpoints
    checkpoints.close()


def test_a_state_is_restored_bit_for_bit(tmp_path, checkpoints):
    checkpoints.save(make_state(11))
    checkpoints.close()
    again = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert again.steps() == [11]
    restored = again.restore(jax.tree.map(jnp.zeros_like, make_state(11)), 11)
    again.close()
    assert jax.tree.structure(restored) == jax.tree.structure(make_state(11))
    for found, expected in zip(*map(jax.tree.leaves, (restored, make_state(11))), strict=True):
        assert found.dtype == expected.dtype
        assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


@pytest.mark.parametrize(
    ("scores", "best", "kept"),
    [
        ({1: 5.0, 2: None, 3: 4.0, 4: None, 5: 3.0}, 1, [1, 4, 5]),
        ({1: 3.0, 2: 7.0, 3: 4.0, 4: 5.0, 5: 6.0}, 2, [2, 4, 5]),
        ({1: 3.0, 2: None, 3: None, 4: None, 5: 6.0}, 5, [4, 5]),
        ({1: None, 2: None, 3: None}, None, [2, 3]),
    ],
)
def test_the_newest_and_the_best_are_kept(tmp_path, checkpoints, scores, best, kept):
    for step, score in scores.items():
        checkpoints.save(make_state(step), score)
    checkpoints.close()
    again = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert again.steps() == kept
    assert again.last_steps() == kept[-2:]
    assert again.best_step() == best
    again.close()


def test_averaged_variables_are_their_mean(checkpoints):
    states = [make_state(step) for step in (1, 2)]
    for state in states:
        checkpoints.save(state)
    shapes = jax.eval_shape(lambda: states[0].variables)
    mean = checkpoints.mean_variables(shapes, [1, 2])
    expected = jax.tree.map(
        lambda *xs: np.mean(xs, axis=0, dtype=np.float64).astype(np.float32),
        *(state.variables for state in states),
    )
    jax.tree.map(np.testing.assert_array_equal, mean, expected)
    only = checkpoints.mean_variables(shapes, [2])
    jax.tree.map(np.testing.assert_array_equal, only, states[1].variables)


def test_a_model_without_statistics_is_restored(checkpoints):
    state = make_state(3)._replace(statistics={})
    checkpoints.save(state)
    restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, state), 3)
    jax.tree.map(np.testing.assert_array_equal, restored, state)


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
