"""The tasks by name, and the choice of an experiment's task."""

from flax_transformer.errors import UserError, unknown
from flax_transformer.tasks.classification.pixel_classification import (
    ImageClassification,
    VideoClassification,
)
from flax_transformer.tasks.classification.text_classification import TextClassification
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingTask
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingTask,
)
from flax_transformer.tasks.tagging.tagging_task import TaggingTask
from flax_transformer.tasks.task import Experiment, Task
from flax_transformer.tasks.text_embedding.text_embedding_task import TextEmbeddingTask
from flax_transformer.tasks.translation.translation_task import TranslationTask

TASKS: dict[str, type[Task]] = {
    "translation": TranslationTask,
    "language_modeling": LanguageModelingTask,
    "masked_language_modeling": MaskedLanguageModelingTask,
    "text_classification": TextClassification,
    "image_classification": ImageClassification,
    "video_classification": VideoClassification,
    "tagging": TaggingTask,
    "text_embedding": TextEmbeddingTask,
}


def find_task(experiment: Experiment) -> tuple[str, type[Task]]:
    """Returns the name and the class of the task that an experiment's configs define.

    Raises:
        UserError: if a config does not fit the others; the error names it.
    """
    config, data, model = (
        type(part).__name__ for part in (experiment.task, experiment.data, experiment.model)
    )
    tasks = {name: task for name, task in TASKS.items() if task.config is type(experiment.task)}
    if not tasks:
        raise unknown("config of a task", config, [task.config.__name__ for task in TASKS.values()])
    reading = {n: task for n, task in tasks.items() if isinstance(experiment.data, task.reads)}
    if not reading:
        known = " or ".join(kind.__name__ for task in tasks.values() for kind in task.reads)
        raise UserError(f"{config} goes with {known}, not {data}: change data")
    for name, task in reading.items():
        if task.takes == (experiment.model.reads, experiment.model.gives):
            return name, task
    wanted = " or ".join(f"reads {t.takes[0]} and gives {t.takes[1]}" for t in reading.values())
    raise UserError(f"{config} with {data} trains a model that {wanted}, not {model}: change model")
