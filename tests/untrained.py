"""Workdirs of models that nobody has trained, of every kind that reads one input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.pixels_config import ImagesConfig, VideosConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import (
    DecoderOnlyConfig,
    EncoderOnlyConfig,
    VideoConfig,
    VisionConfig,
)
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.classification.classification_task import CLASSES
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingConfig
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingConfig,
)
from flax_transformer.tasks.task import TOKENIZER
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.step import init_state
from flax_transformer.training.training_config import TrainingConfig

MAX_LENGTH, LAYERS, HEADS = 17, 2, 3
CLASS_NAMES = ("cat", "dog", "newt", "owl", "yak")
CHARACTERS = Tokenizer.of_characters(["abcdefgh\n "])
SUBWORDS = Tokenizer.train(["two", "twenty-two"], vocab_size=270)
SIZES: dict[str, Any] = {"num_layers": LAYERS, "d_model": 12, "d_ff": 5, "num_heads": HEADS}
PIXELS: dict[str, Any] = {"image_size": (4, 6), "patch_size": (2, 2), "num_channels": 1}


def _classification(data: Any, model: Any) -> Experiment:
    training = TrainingConfig(num_steps=1, best_score="accuracy")
    return Experiment(data, model, ClassificationConfig(), training=training, decoding=None)


EXPERIMENTS = {
    "texts": _classification(
        LabeledTextConfig(
            dataset="labeled_text",
            train_file="train.csv",
            validation_file="validation.csv",
            max_length=MAX_LENGTH,
        ),
        EncoderOnlyConfig(max_positions=MAX_LENGTH, pooling="mean", **SIZES),
    ),
    "images": _classification(ImagesConfig(dataset="digits"), VisionConfig(**SIZES, **PIXELS)),
    "videos": _classification(
        VideosConfig(),
        VideoConfig(
            variant="factorized_self_attention", pooling="mean", num_frames=6, **SIZES, **PIXELS
        ),
    ),
    "masked": Experiment(
        PlainTextConfig(
            dataset="plain_text",
            train_text="train.txt",
            validation_text="validation.txt",
            max_length=MAX_LENGTH,
        ),
        EncoderOnlyConfig(max_positions=MAX_LENGTH, **SIZES),
        MaskedLanguageModelingConfig(),
        training=TrainingConfig(num_steps=1, best_score="loss"),
        decoding=None,
    ),
    "language_model": Experiment(
        PlainTextConfig(
            dataset="plain_text",
            train_text="train.txt",
            validation_text="validation.txt",
            tokens="characters",
            max_length=MAX_LENGTH,
        ),
        DecoderOnlyConfig(max_positions=MAX_LENGTH, **SIZES),
        LanguageModelingConfig(),
        training=TrainingConfig(num_steps=1, best_score="loss"),
        decoding=DecodingConfig("greedy"),
    ),
}


def write_workdir(
    folder: Path,
    experiment: Experiment,
    tokenizer: Tokenizer | None = None,
    change: Callable[[Any], Any] = lambda drawn: jax.tree.map(lambda array: 3 * array, drawn),
) -> Path:
    """Writes what a training leaves, with parameters of some size drawn at random."""
    workdir = Workdir(folder)
    workdir.start(experiment)
    workdir.release()
    is_text = experiment.task == LanguageModelingConfig()
    (tokenizer or (CHARACTERS if is_text else SUBWORDS)).save(folder / TOKENIZER)
    (folder / CLASSES).write_text(json.dumps(CLASS_NAMES))
    task = find_task(experiment)[1].open(experiment, folder, training=False)
    # Of a seed with which the language model does not end its texts at once.
    variables = change(task.init(jax.random.key(4)))
    state = init_state(variables, optax.trace(0.5))._replace(step=jnp.int32(1))
    checkpoints = open_checkpoints(workdir, experiment.training)
    checkpoints.save(state, {})
    checkpoints.close()
    return folder
