"""The experiments of texts begin: two updates of each, where its data is."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small import with_fields
from small_texts import write_lines, write_table

from flax_transformer.experiment import Experiment, load_experiment
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.loop import train

FOLDER = Path(__file__).parents[1] / "experiments"
SHARED = Path(__file__).parents[2] / "shared" / "data"

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def load_small(name: str, tmp_path: Path, **data: object) -> Experiment:
    """An experiment of two updates by eight simulated devices."""
    experiment = load_experiment(FOLDER / f"{name}.py")
    experiment = with_fields(
        experiment, "data", data_dir=str(tmp_path / "prepared"), batch_size=8, **data
    )
    return with_fields(
        experiment, "training", num_steps=2, evaluate_every_steps=2, log_every_steps=1
    )


def own_files(folder: Path) -> dict[str, dict[str, str]]:
    """What the experiments of a user's own texts read, by their names."""
    table, lines = write_table(folder), write_lines(folder)
    return {
        "labeled_text": {"train_file": table, "validation_file": table},
        "masked_text": {"train_text": lines},
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("sst2", marks=pytest.mark.slow),
        "trec",
        pytest.param("labeled_text", marks=pytest.mark.slow),
        "masked_text",
    ],
)
def test_an_experiment_begins(name, tmp_path):
    files = own_files(tmp_path).get(name)
    if files is None:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the files of {name} are not in {SHARED / name}")
        files = {"manual_dir": str(SHARED / name), "train_split": "train[:64]"}
        validation = "validation" if name == "sst2" else "train"
        files["validation_split"] = f"{validation}[64:80]"
    experiment = load_small(name, tmp_path, **files)
    train(experiment, tmp_path / "run", Console(quiet=True))
    assert Workdir(tmp_path / "run").saved_steps()


@pytest.mark.parametrize("name", ["trec", "labeled_text"])
def test_what_is_learned_from_raw_text_fits_an_experiment_of_labeled_texts(name):
    masked: Any = load_experiment(FOLDER / "masked_text.py")
    # As docs/results.md and docs/guides/fine_tuning.md say; without it, the model is BERT.
    assert masked.model.convolution_width is None
    masked = with_fields(masked, "model", convolution_width=5)
    labeled: Any = load_experiment(FOLDER / f"{name}.py")
    # What has no parameters may differ.
    free = {
        field: getattr(labeled.model, field)
        for field in ("pooling", "residual_dropout_rate", "token_dropout_rate")
    }
    assert dataclasses.replace(masked.model, **free) == labeled.model
    assert labeled.data.max_length <= masked.model.max_positions
