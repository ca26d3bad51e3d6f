"""A functional model zoo of the Transformer in JAX and Flax.

`import flax_transformer as ft` gives access to everything below; each name is imported on its first
use:

- `ft.Experiment` and its configs,
- `ft.train`, `ft.evaluate`, `ft.load`, `ft.from_pretrained` and `ft.view_attention`,
- the parts as subpackages: `ft.functional`, `ft.modules`, `ft.models`, `ft.decoding`, `ft.data`,
  `ft.evaluation`, `ft.inspection`, `ft.visualization`, `ft.tasks`, `ft.training`,
  `ft.interchange` and `ft.commands`.
"""

from typing import TYPE_CHECKING

from flax_transformer.lazy_names import lazy_names

if TYPE_CHECKING:
    from flax_transformer import (
        commands,
        data,
        decoding,
        evaluation,
        functional,
        inspection,
        interchange,
        models,
        modules,
        tasks,
        training,
        visualization,
    )
    from flax_transformer.console import show_scores
    from flax_transformer.data.augmentation_config import AugmentationConfig
    from flax_transformer.data.datasets.conllu import TaggedWordsConfig
    from flax_transformer.data.datasets.datasets import open_split
    from flax_transformer.data.files.pixel_splits import open_pixels
    from flax_transformer.data.labeled_text_config import LabeledTextConfig
    from flax_transformer.data.parallel_text_config import ParallelTextConfig
    from flax_transformer.data.pixels_config import ImagesConfig, VideosConfig
    from flax_transformer.data.plain_text_config import PlainTextConfig
    from flax_transformer.decoding.search import DecodingConfig
    from flax_transformer.evaluation.wishes import check_wishes
    from flax_transformer.experiment import Experiment, load_experiment
    from flax_transformer.interchange.published_runs import from_pretrained
    from flax_transformer.models.decoder_only import DecoderOnlyConfig
    from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
    from flax_transformer.models.encoder_only import EncoderOnlyConfig
    from flax_transformer.models.video import VideoConfig
    from flax_transformer.models.vision import VisionConfig
    from flax_transformer.models.zoo import ZOO
    from flax_transformer.tasks.classification.classification_config import ClassificationConfig
    from flax_transformer.tasks.language_modeling.language_modeling_task import (
        LanguageModelingConfig,
    )
    from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
        MaskedLanguageModelingConfig,
    )
    from flax_transformer.tasks.tagging.tagging_task import TaggingConfig
    from flax_transformer.tasks.text_embedding.text_embedding_task import TextEmbeddingConfig
    from flax_transformer.tasks.translation.translation_config import TranslationConfig
    from flax_transformer.training.assemble import evaluate, load
    from flax_transformer.training.loop import train
    from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
    from flax_transformer.training.training_config import TrainingConfig
    from flax_transformer.visualization.attention_view import view_attention

# Name -> the module that defines it, imported on first use.
_HOMES = {
    "AugmentationConfig": ".data.augmentation_config",
    "check_wishes": ".evaluation.wishes",
    "ClassificationConfig": ".tasks.classification.classification_config",
    "commands": ".commands",
    "data": ".data",
    "DecoderOnlyConfig": ".models.decoder_only",
    "decoding": ".decoding",
    "DecodingConfig": ".decoding.search",
    "EncoderDecoderConfig": ".models.encoder_decoder",
    "EncoderOnlyConfig": ".models.encoder_only",
    "evaluate": ".training.assemble",
    "evaluation": ".evaluation",
    "Experiment": ".experiment",
    "from_pretrained": ".interchange.published_runs",
    "functional": ".functional",
    "ImagesConfig": ".data.pixels_config",
    "inspection": ".inspection",
    "interchange": ".interchange",
    "LabeledTextConfig": ".data.labeled_text_config",
    "LanguageModelingConfig": ".tasks.language_modeling.language_modeling_task",
    "load": ".training.assemble",
    "load_experiment": ".experiment",
    "MaskedLanguageModelingConfig": (
        ".tasks.masked_language_modeling.masked_language_modeling_task"
    ),
    "models": ".models",
    "modules": ".modules",
    "open_pixels": ".data.files.pixel_splits",
    "open_split": ".data.datasets.datasets",
    "OptimizerConfig": ".training.optimizer.optimizer_config",
    "ParallelTextConfig": ".data.parallel_text_config",
    "PlainTextConfig": ".data.plain_text_config",
    "show_scores": ".console",
    "TaggedWordsConfig": ".data.datasets.conllu",
    "TaggingConfig": ".tasks.tagging.tagging_task",
    "tasks": ".tasks",
    "TextEmbeddingConfig": ".tasks.text_embedding.text_embedding_task",
    "train": ".training.loop",
    "training": ".training",
    "TrainingConfig": ".training.training_config",
    "TranslationConfig": ".tasks.translation.translation_config",
    "VideoConfig": ".models.video",
    "VideosConfig": ".data.pixels_config",
    "view_attention": ".visualization.attention_view",
    "VisionConfig": ".models.vision",
    "visualization": ".visualization",
    "ZOO": ".models.zoo",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
