"""The kinds of tasks by name, and which configs make one together."""

from typing import TYPE_CHECKING, Any, NamedTuple

from flax_transformer.data.datasets.labelled_datasets import (
    ImagesConfig,
    LabelledTextConfig,
    VideosConfig,
)
from flax_transformer.data.datasets.parallel_datasets import ParallelTextConfig
from flax_transformer.data.datasets.text_datasets import PlainTextConfig
from flax_transformer.errors import UserError, unknown
from flax_transformer.evaluation.metric import metrics_of
from flax_transformer.models.decoder_only import DecoderOnlyConfig
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.models.encoder_only import EncoderOnlyConfig
from flax_transformer.models.video import VideoConfig
from flax_transformer.models.vision_config import VisionConfig
from flax_transformer.tasks.classification.classification import ClassificationConfig
from flax_transformer.tasks.classification.classification_task import ClassificationTask
from flax_transformer.tasks.language_modeling.language_modeling import LanguageModelingConfig
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingTask
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling import (
    MaskedLanguageModelingConfig,
)
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingTask,
)
from flax_transformer.tasks.task import Parts, TaskMaker
from flax_transformer.tasks.translation.translation import TranslationConfig
from flax_transformer.tasks.translation.translation_task import TranslationTask


class TaskKind(NamedTuple):
    """A kind of task.

    Attributes:
        description: a line.
        maker: the class of such tasks.
        config: of how a model is trained for it.
        fits: pairs of the configs of data and of the model that go together.
        scores: names of what a model is scored by; the first is what most would choose it by.
        command: that uses a trained model.
        searches: whether outputs are searched for, so that an experiment needs `decoding`.
        attention_options: what its predictor's `attend` takes beside an input.
    """

    description: str
    maker: TaskMaker
    config: type
    fits: tuple[tuple[type, type], ...]
    scores: tuple[str, ...]
    command: str
    searches: bool
    attention_options: tuple[str, ...] = ()


TASKS = {
    "translation": TaskKind(
        "a sentence of one language to one of another",
        TranslationTask,
        TranslationConfig,
        ((ParallelTextConfig, EncoderDecoderConfig),),
        (*metrics_of("hypotheses"), "token_accuracy", "perplexity"),
        "translate",
        searches=True,
        attention_options=("target",),
    ),
    "language_modeling": TaskKind(
        "the beginning of a text to what comes next",
        LanguageModelingTask,
        LanguageModelingConfig,
        ((PlainTextConfig, DecoderOnlyConfig),),
        ("loss", "perplexity", "bits_per_byte", "token_accuracy"),
        "generate",
        searches=True,
        attention_options=("length",),
    ),
    "masked_language_modeling": TaskKind(
        "a text with gaps to what is missing",
        MaskedLanguageModelingTask,
        MaskedLanguageModelingConfig,
        ((PlainTextConfig, EncoderOnlyConfig), (LabelledTextConfig, EncoderOnlyConfig)),
        ("loss", "perplexity", "token_accuracy"),
        "fill",
        searches=False,
    ),
    "classification": TaskKind(
        "a text, an image or a video to its class",
        ClassificationTask,
        ClassificationConfig,
        (
            (LabelledTextConfig, EncoderOnlyConfig),
            (ImagesConfig, VisionConfig),
            (VideosConfig, VideoConfig),
        ),
        (*metrics_of("labels", "is_in_top"), "loss"),
        "classify",
        searches=False,
    ),
}
if TYPE_CHECKING:  # who writes an experiment knows its kind, and needs no casts
    Data = Model = Task = Any
else:
    Data = ParallelTextConfig | PlainTextConfig | LabelledTextConfig | ImagesConfig | VideosConfig
    Model = (
        EncoderDecoderConfig | DecoderOnlyConfig | EncoderOnlyConfig | VisionConfig | VideoConfig
    )
    Task = (
        TranslationConfig
        | LanguageModelingConfig
        | MaskedLanguageModelingConfig
        | ClassificationConfig
    )
# Of a JSON that does not say which, translation is meant.
UNIONS = ((Data, ParallelTextConfig), (Model, EncoderDecoderConfig), (Task, TranslationConfig))


def kind_of(task: Any) -> tuple[str, TaskKind]:
    """Gives the name and the kind of a task by its config."""
    return next((name, kind) for name, kind in TASKS.items() if kind.config is type(task))


def check_parts(parts: Parts) -> None:
    """Refuses configs that do not make a task together.

    Raises:
        UserError: naming the config that does not fit.
    """
    name, kind = kind_of(parts.task)
    fitting = dict(kind.fits)
    if type(parts.data) not in fitting:
        known = " or ".join(data.__name__ for data in fitting)
        raise UserError(f"{name} reads {known}, not {type(parts.data).__name__}: change data")
    model = fitting[type(parts.data)]
    if type(parts.model) is not model:
        given = type(parts.model).__name__
        raise UserError(
            f"{name} of {type(parts.data).__name__} trains {model.__name__}, not {given}: "
            "change model"
        )
    if kind.searches and parts.decoding is None:
        raise UserError(f"{name} searches for its outputs: give decoding=DecodingConfig()")
    if not kind.searches and parts.decoding is not None:
        raise UserError(f"{name} searches for nothing: give decoding=None")


def check_score(task: Any, score: str) -> None:
    """Refuses a score that a task does not have."""
    name, kind = kind_of(task)
    if score not in kind.scores:
        raise unknown(f"training.best_score of {name}", score, kind.scores)
