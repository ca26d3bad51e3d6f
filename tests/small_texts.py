"""Trainings of texts that take seconds: who does what to whom, in two classes."""

import dataclasses
import itertools
from pathlib import Path

from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import EncoderOnlyConfig
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingConfig,
)
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve")
# The same words in another order are of the other class.
TEXTS = [
    (f"{first} {verb} {second}", "before" if first < second else "after")
    for (first, second), verb in itertools.product(
        itertools.permutations(NAMES, 2), ("greets", "calls")
    )
]
MODEL = EncoderOnlyConfig(
    num_layers=1,
    d_model=32,
    d_ff=64,
    num_heads=2,
    max_positions=13,
    pooling="mean",
    residual_dropout_rate=0.0,
    attention_dropout_rate=0.0,
)
LENGTH = 13


def write_table(folder: Path) -> str:
    """Writes the labeled texts."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{text}\t{label}\n" for text, label in TEXTS)
    (folder / "texts.tsv").write_text(f"text\tlabel\n{rows}")
    return str(folder / "texts.tsv")


def write_lines(folder: Path) -> str:
    """Writes the texts alone."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text, _ in TEXTS))
    return str(folder / "texts.txt")


def classification(folder: Path) -> Experiment:
    """An experiment that learns the classes of these texts."""
    return Experiment(
        data=LabeledTextConfig(
            dataset="labeled_text",
            data_dir=str(folder / "prepared"),
            train_file=write_table(folder),
            validation_file=write_table(folder),
            vocab_size=300,
            max_length=LENGTH,
            batch_size=40,
        ),
        model=MODEL,
        task=ClassificationConfig(),
        optimizer=OptimizerConfig("constant", 0.01, 5, clip_norm=1.0),
        training=TrainingConfig(
            num_steps=60,
            evaluate_every_steps=60,
            checkpoint_every_steps=60,
            keep_checkpoints=1,
            best_score="accuracy",
        ),
        decoding=None,
    )


def masked(folder: Path) -> Experiment:
    """An experiment that learns to fill gaps in these texts."""
    experiment = classification(folder)
    data = PlainTextConfig(
        dataset="plain_text",
        data_dir=str(folder / "prepared"),
        train_text=write_lines(folder),
        validation_text=write_lines(folder),
        vocab_size=300,
        max_length=LENGTH,
        batch_size=40,
    )
    return dataclasses.replace(
        experiment,
        data=data,
        task=MaskedLanguageModelingConfig(),
        training=dataclasses.replace(experiment.training, best_score="loss"),
    )
