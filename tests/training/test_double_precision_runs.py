"""Whole trainings in processes for which JAX's default is double precision."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small
import small_texts
import text_models

from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.experiment import Experiment, read_experiment, write_experiment
from flax_transformer.models import VisionConfig
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig

pytestmark = pytest.mark.platforms

# Each command in turn, then the types of what the last checkpoint holds. A warning of JAX that an
# array of another type is scattered into one is an error.
PROGRAM = """
import json, sys, warnings
from pathlib import Path
import jax
from flax_transformer.cli import main
from flax_transformer.training.assemble import open_run

assert jax.config.jax_enable_x64
warnings.filterwarnings("error", ".*scatter.*")
warnings.filterwarnings("error", ".*dtype.*")
for words in json.loads(sys.argv[1]):
    main(words)
types = {str(leaf.dtype) for leaf in jax.tree.leaves(open_run(Path("run"), "last").variables)}
print("types:", *types)
"""


def images(folder: Path) -> Experiment:
    """An experiment that reads digits of 8 x 8 pixels."""
    return Experiment(
        data=ImagesConfig(dataset="digits", batch_size=16, data_dir=str(folder / "prepared")),
        model=VisionConfig(
            num_layers=1,
            d_model=8,
            d_ff=8,
            num_heads=2,
            image_size=(8, 8),
            patch_size=(4, 4),
            num_channels=1,
        ),
        task=ClassificationConfig(),
        optimizer=OptimizerConfig("constant", 0.01, 5, clip_norm=1.0),
        training=TrainingConfig(best_score="accuracy"),
        decoding=None,
    )


def language_model(folder: Path) -> Experiment:
    return read_experiment(text_models.write_experiment_file(folder))


# (experiment, the command that uses the model)
RUNS: dict[str, tuple[Callable[[Path], Experiment], list[str]]] = {
    "translation": (small.make_experiment, ["translate", small.PAIRS[0].source]),
    "text classes": (small_texts.classification, ["classify", "Ada greets Ben"]),
    "masked tokens": (small_texts.masked, ["fill", "Ada greets [MASK]"]),
    "language model": (language_model, ["generate", "abc"]),
    "image classes": (images, ["evaluate"]),
}


def run_program(folder: Path, *commands: list[str]) -> Any:
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "XLA_FLAGS": ""}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_model_is_trained_restored_and_used(name, tmp_path):
    if name == "image classes":
        pytest.importorskip("sklearn", reason="needs the extra images")
    make, command = RUNS[name]
    experiment = small.with_fields(
        make(tmp_path),
        "training",
        num_steps=4,
        evaluate_every_steps=4,
        checkpoint_every_steps=2,
        log_every_steps=2,
    )
    write_experiment(tmp_path / "experiment.json", experiment)
    train = ["train", "experiment.json", "--workdir", "run"]
    used = [command[0], "--workdir", "run", *command[1:]]
    # The second training finds the first one's checkpoint.
    result = run_program(tmp_path, train, train, used)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "types: float32"
    assert "already trained for 4 steps" in result.stdout
    assert "Warning" not in result.stderr
    losses = [
        json.loads(line)["loss"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        if "gradient_norm" in line
    ]
    assert len(losses) == 2
    assert all(0 < loss < 20 for loss in losses)
