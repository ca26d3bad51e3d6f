"""Evaluations and searches whose rows are cut over the devices of a mesh."""

import jax
import numpy as np
import pytest
from reference import assert_close
from small import make_experiment
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.training.assemble import open_run
from flax_transformer.training.mesh_devices import MeshDevices

pytestmark = pytest.mark.usefixtures("quickly_compiled")
# Seven texts, which four devices do not divide, and two, which are fewer than the devices.
TEXTS = ["a", "feed", "bad cab", "bag", "cafe cafe", "deaf face", "hag"]
FEW = TEXTS[:2]
SEARCHES = [
    DecodingConfig("beam", beam_size=3, num_best=2, max_extra_length=9),
    DecodingConfig("sample", num_best=2, temperature=2.0, max_extra_length=9),
]


@pytest.fixture(scope="module")
def mesh():
    return MeshDevices(jax.devices()[:4], "data=2,fsdp=2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained")
    names = ("texts", "masked", "language_model")
    experiments = {name: EXPERIMENTS[name] for name in names}
    experiments["pairs"] = make_experiment(folder)
    return {
        name: open_run(write_workdir(folder / name, experiment), "last")
        for name, experiment in experiments.items()
    }


def predictors(run, mesh):
    """The predictor on one device, and the one on the mesh."""
    placed = mesh.place(run.variables)
    assert any(not x.is_fully_replicated for x in jax.tree.leaves(placed))
    return run.task.predictor(run.variables), run.task.predictor(placed)


def assert_same_texts(found, expected):
    for some, others in zip(found, expected, strict=True):
        assert [one.text for one in some] == [one.text for one in others]
    # Of all together: the sure tokens of a drawn model have log-probabilities near 0.
    scores, others = (
        [one.score for several in texts for one in several] for texts in (found, expected)
    )
    assert_close(scores, others, 1e-5)


@pytest.mark.parametrize("decoding", SEARCHES, ids=lambda decoding: decoding.method)
def test_translations_are_the_same_on_all_devices(runs, mesh, decoding):
    one, several = predictors(runs["pairs"], mesh)
    expected = one.translate_n_best(TEXTS, decoding)
    assert_same_texts(several.translate_n_best(TEXTS, decoding), expected)
    assert_same_texts(several.translate_n_best(FEW, decoding), expected[: len(FEW)])


@pytest.mark.parametrize("decoding", SEARCHES, ids=lambda decoding: decoding.method)
def test_continuations_are_the_same_on_all_devices(runs, mesh, decoding):
    one, several = predictors(runs["language_model"], mesh)
    expected = one.generate_n_best(TEXTS, decoding, length=9)
    assert_same_texts(several.generate_n_best(TEXTS, decoding, length=9), expected)


def test_vectors_fillings_and_scores_are_the_same_on_all_devices(runs, mesh):
    one, several = predictors(runs["masked"], mesh)
    assert_close(several.embed(TEXTS), one.embed(TEXTS), 1e-5)
    gaps = [f"{text} [MASK]" for text in TEXTS]
    assert [f.text for f in several.fill(gaps)] == [f.text for f in one.fill(gaps)]
    one, several = predictors(runs["language_model"], mesh)
    expected, found = one.score(TEXTS), several.score(TEXTS)
    assert_close([s.log_prob for s in found], [s.log_prob for s in expected], 1e-5)


def test_classes_are_the_same_on_all_devices(runs, mesh):
    one, several = predictors(runs["texts"], mesh)
    for found, expected in zip(several.classify(TEXTS), one.classify(TEXTS), strict=True):
        assert found.label == expected.label
        assert_close(
            list(found.probabilities.values()), list(expected.probabilities.values()), 1e-5
        )


@pytest.mark.parametrize("name", ["masked", "language_model", "pairs"])
def test_scores_are_the_same_on_all_devices(runs, mesh, tmp_path, name):
    path = tmp_path / "own.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS))
    files = OwnFiles(path, (path,)) if name == "pairs" else OwnFiles(file=path)
    run = runs[name]
    expected = run.task.evaluate(run.variables, files)
    found = run.task.evaluate(mesh.place(run.variables), files)
    assert found.outputs == expected.outputs
    assert found.scores.keys() == expected.scores.keys()
    # The perplexity of a drawn model is large, and has the relative error of its logarithm often.
    for name, score in expected.scores.items():
        assert_close(found.scores[name].value, score.value, 1e-4)


def test_each_device_computes_its_rows_only(mesh):
    shapes = []

    def double(variables, rows):
        jax.debug.inspect_array_sharding(rows, callback=lambda s: shapes.append(s))
        return variables["scale"] * rows

    run = jit_by_rows(double, rows=("rows",))
    rows = np.arange(21.0, dtype=np.float32).reshape(7, 3)
    variables = mesh.place({"scale": np.float32(2)})
    np.testing.assert_array_equal(run(variables, rows), 2 * rows)
    (sharding,) = shapes
    assert sharding.shard_shape((8, 3)) == (2, 3)
