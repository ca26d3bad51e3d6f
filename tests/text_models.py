"""A language model that trains in seconds, and its experiment as a file."""

from pathlib import Path

from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment, write_experiment
from flax_transformer.models import DecoderOnlyConfig
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingConfig
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig

MODEL = DecoderOnlyConfig(
    num_layers=1,
    d_model=32,
    d_ff=64,
    num_heads=2,
    max_positions=17,
    residual_dropout_rate=0.0,
    attention_dropout_rate=0.0,
)
CONFIG = {"train": "abc" * 211, "validation": "abc" * 7}


def write_experiment_file(folder: Path) -> Path:
    """Writes the texts and an experiment that learns to repeat abc."""
    for name, text in CONFIG.items():
        (folder / f"{name}.txt").write_text(text)
    experiment = Experiment(
        data=PlainTextConfig(
            dataset="plain_text",
            train_text=str(folder / "train.txt"),
            validation_text=str(folder / "validation.txt"),
            data_dir=str(folder / "prepared"),
            tokens="characters",
            max_length=17,
            batch_size=8,
        ),
        model=MODEL,
        task=LanguageModelingConfig(),
        optimizer=OptimizerConfig("constant", 0.01, 5),
        training=TrainingConfig(
            num_steps=40,
            evaluate_every_steps=20,
            keep_checkpoints=1,
            best_score="loss",
            log_every_steps=20,
        ),
        decoding=DecodingConfig("sample", max_extra_length=11),
    )
    write_experiment(folder / "experiment.json", experiment)
    return folder / "experiment.json"
