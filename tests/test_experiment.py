import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from small import make_experiment, with_fields

from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.experiment import VERSION, Experiment, read_experiment
from flax_transformer.models import ZOO, VisionConfig
from flax_transformer.models.table3 import table3
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.tasks import TASKS

FOLDER = Path(__file__).parents[1] / "experiments"
# The others are programs of their own, and define no experiment for the command line.
FILES = [
    path for path in sorted(FOLDER.glob("*.py")) if "\nexperiment = " in path.read_text("utf-8")
]


@pytest.fixture(params=[None, *FILES], ids=lambda path: path.stem if path else "small")
def experiment(request, tmp_path) -> Experiment:
    """Every experiment of the repository, and the tests' own."""
    path = request.param
    return runpy.run_path(str(path))["experiment"] if path else make_experiment(tmp_path)


def test_an_experiment_survives_json(experiment):
    text = json.dumps(experiment.to_json())
    assert Experiment.from_json(json.loads(text)) == experiment


@pytest.mark.parametrize("preset", ZOO)
def test_presets_survive_json(preset):
    model = ZOO[preset].config
    task = next(task for task in TASKS.values() if task.takes == (model.reads, model.gives))
    experiment = Experiment(task.reads[0](), model, task.config())
    assert Experiment.from_json(json.loads(json.dumps(experiment.to_json()))).model == model


def test_every_row_of_table_3_can_be_trained_small():
    program = runpy.run_path(str(FOLDER / "table3.py"))
    models = set()
    for name, row in table3().items():
        experiment = program["row_experiment"](name)
        model = experiment.model
        assert model.num_encoder_layers == row.model.num_encoder_layers // 2
        assert (4 * model.d_model, 4 * model.d_ff) == (row.model.d_model, row.model.d_ff)
        assert tuple(4 * dim for dim in model.head_dims()) == row.model.head_dims()
        assert model.residual_dropout_rate == row.model.residual_dropout_rate
        models.add((model, experiment.task.label_smoothing))
    assert len(models) == len(table3())
    with pytest.raises(
        UserError, match="unknown --row 'B-key-dim-17': did you mean 'B-key-dim-16'"
    ):
        program["row_experiment"]("B-key-dim-17")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sede": 1}, r"extra fields found \(sede\)$"),
        ({"model": {"num_head": 3}}, r"^--model: .*\(num_head\)$"),
        ({"model": {"d_ff": "wide"}}, r"^--model\.d-ff: 'wide' is not of type int$"),
        ({"optimizer": {"learning_rate": "high"}}, r"^--optimizer\.learning-rate: 'high' is"),
        ({"model": {"positions": "slope"}}, r"^unknown --model\.positions 'slope'.*--parts FILE$"),
    ],
)
def test_what_is_no_experiment_is_refused(change, message):
    with pytest.raises(UserError, match=message) as caught:
        Experiment.from_json({"version": VERSION} | change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("before", "now"), [(True, "all"), (False, "none")])
def test_recomputation_of_an_earlier_experiment_is_read(before, now):
    fields = json.loads(json.dumps(Experiment().to_json()))
    fields["model"]["remat"] = before
    model: Any = Experiment.from_json(fields).model
    assert model.remat == now


def test_a_table_of_positions_must_hold_the_longest_sentence():
    experiment = with_fields(Experiment(), "data", max_length=128)
    learned: Any = with_fields(experiment, "model", positions="learned", max_positions=128)
    assert learned.model.max_positions == 128
    with pytest.raises(
        UserError, match=r"--data.max-length 128 exceeds --model\.max-positions 127"
    ):
        with_fields(experiment, "model", positions="learned", max_positions=127)
    # A scheme without a table has no such limit.
    assert with_fields(experiment, "model", max_positions=127).model.positions == "sinusoidal"


@pytest.mark.parametrize(
    "version", [{}, {"version": 1}, {"version": VERSION + 1}, {"version": True}]
)
def test_another_version_is_refused_in_one_line_that_names_the_commit(tmp_path, version):
    path = tmp_path / "experiment.json"
    fields = {name: value for name, value in Experiment().to_json().items() if name != "version"}
    path.write_text(json.dumps(version | fields))
    with pytest.raises(
        UserError, match=rf"this is version {VERSION}; git commit 92f8e6a"
    ) as caught:
        read_experiment(path)
    assert "\n" not in str(caught.value)


def test_the_best_score_and_the_decoding_come_from_the_task():
    translation = Experiment()
    assert translation.training.best_score == "bleu"
    assert translation.decoding == DecodingConfig()
    digits = Experiment(ImagesConfig(), VisionConfig(), ClassificationConfig())
    assert digits.training.best_score == "accuracy"
    assert digits.decoding is None
    with pytest.raises(UserError, match="image_classification searches for nothing: give decod"):
        dataclasses.replace(digits, decoding=DecodingConfig())
    with pytest.raises(UserError, match=r"--training.best-score of translation 'acuracy'"):
        with_fields(translation, "training", best_score="acuracy")
