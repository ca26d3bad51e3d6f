"""Tasks of small models and batches for them, made without data."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from flax_transformer.data.batches.batch import Batch, LabeledBatch, TextBatch
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.pixels_config import ImagesConfig, VideosConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.experiment import Experiment
from flax_transformer.models import VideoConfig
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.classification.pixel_classification import (
    ImageClassification,
    VideoClassification,
)
from flax_transformer.tasks.language_modeling.language_modeling_task import (
    LanguageModelingConfig,
    LanguageModelingTask,
)
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingConfig,
    MaskedLanguageModelingTask,
)
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.tasks.translation.translation_task import TranslationTask


def letters(vocab_size: int) -> Tokenizer:
    """A tokenizer of so many ids: the special ones, an unknown letter, and letters."""
    tokenizer = Tokenizer.of_characters([chr(97 + number) for number in range(vocab_size - 4)])
    assert tokenizer.vocab_size == vocab_size
    return tokenizer


def translation_task(
    model: Any, tokens: int | Tokenizer, config: TranslationConfig | None = None
) -> TranslationTask:
    data = ParallelTextConfig(max_length=model.position_limit() or 64)
    experiment = Experiment(data, model, config or TranslationConfig())
    return TranslationTask(experiment, letters(tokens) if isinstance(tokens, int) else tokens)


def language_modeling_task(
    model: Any, vocab_size: int, label_smoothing: float = 0.0
) -> LanguageModelingTask:
    data = PlainTextConfig(max_length=model.position_limit() or 64)
    experiment = Experiment(data, model, LanguageModelingConfig(label_smoothing))
    return LanguageModelingTask(experiment, letters(vocab_size))


def masked_task(model: Any, vocab_size: int, mask_rate: float) -> MaskedLanguageModelingTask:
    data = PlainTextConfig(max_length=model.position_limit() or 64)
    experiment = Experiment(data, model, MaskedLanguageModelingConfig(mask_rate=mask_rate))
    return MaskedLanguageModelingTask(experiment, letters(vocab_size))


def picture_task(
    model: Any,
    class_names: tuple[str, ...],
    label_smoothing: float = 0.0,
    weights: Any = None,
) -> ImageClassification:
    """A task of images or of videos, as the model reads them."""
    is_video = isinstance(model, VideoConfig)
    kind = VideoClassification if is_video else ImageClassification
    data = VideosConfig() if is_video else ImagesConfig()
    experiment = Experiment(data, model, ClassificationConfig(label_smoothing))
    return kind(experiment, class_names, None, weights)


def pair_batch(source: np.ndarray, target: np.ndarray) -> Batch:
    """A pair a row; 0 is padding."""
    return Batch(source, target, *((side != 0).astype(np.int32) for side in (source, target)))


def text_batch(tokens: np.ndarray) -> TextBatch:
    """A piece of text a row; 0 is padding."""
    return TextBatch(tokens, (tokens != 0).astype(np.int32))


def labeled_texts(tokens: np.ndarray, labels: Any = None) -> LabeledBatch:
    """A text a row; 0 is padding, and without labels all are of class 0."""
    labels = np.zeros(len(tokens), np.int32) if labels is None else labels
    return LabeledBatch(tokens, labels, (tokens != 0).astype(np.int32))


def to_segments(tokens: Any) -> Any:
    """One sequence a row; 0 is padding."""
    return jnp.asarray(tokens != 0, jnp.int32)
