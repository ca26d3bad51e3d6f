"""Vectors of texts: the task of a published model without a head."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from flax_transformer.data.batches.batch import AnyBatch
from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.errors import UserError, unknown_part
from flax_transformer.functional.pooling import POOLINGS
from flax_transformer.tasks.task import Experiment, Fields, Loss, Scored, Variables, draw
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.text_embedding.embedder import Embedder
from flax_transformer.tasks.text_task import TextTask


@dataclasses.dataclass(frozen=True)
class TextEmbeddingConfig(TaskConfig):
    """How the vector of a text is made of those of its tokens."""

    pooling: str = "mean"
    """Vector of a text: the mean or max of its tokens, or the first one (first)."""
    normalize: bool = False
    """Division of each vector by its length."""
    has_pooler: bool = False
    """Whether the model has the layer after the pooling, which only classifiers apply."""

    def __post_init__(self) -> None:
        """Rejects an unknown pooling."""
        super().__post_init__()
        if self.pooling not in POOLINGS:
            raise unknown_part("--task.pooling", self.pooling, POOLINGS)


class TextEmbeddingTask(TextTask):
    """Gives vectors of texts. It has no loss: other tasks begin a training with its weights."""

    description = "a text to its vector"
    config = TextEmbeddingConfig
    reads = (PlainTextConfig,)
    takes = ("tokens", "vectors")
    scores = ("loss",)  # none is computed; an experiment names one
    unit = "texts"
    command = "embed"
    trains = False

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TextEmbeddingTask":
        """Reads the tokenizer."""
        if training:
            _refuse()
        return cls(experiment, cls.open_tokenizer(experiment.data, folder, training=False))

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Initializes the model's parameters at random, by a text of one token."""
        tokens = jnp.full((1, 1), self.tokenizer.bos_id, jnp.int32)
        method = "pool" if self.experiment.task.has_pooler else "__call__"
        return draw(self.model, rng, tokens, method=method)

    def predictor(self, variables: Variables) -> Embedder:
        """Makes a predictor of vectors."""
        parts, task = self.predictor_parts(variables), self.experiment.task
        return Embedder(*parts, pooling=task.pooling, normalize=task.normalize)

    def batches(self, split: str, *, num_devices: int = 1) -> Batches:
        """Raises an error."""
        _refuse()

    def loss(self, variables: Variables, batch: AnyBatch, rng: PRNGKeyArray) -> Loss:
        """Raises an error."""
        _refuse()

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Raises an error."""
        _refuse()

    def examples(self, batch: AnyBatch) -> Iterator[Fields]:
        """Raises an error."""
        _refuse()

    def open_split(self, split: str | OwnFiles) -> NoReturn:
        """Raises an error."""
        _refuse()


def _refuse() -> NoReturn:
    raise UserError(
        "text_embedding has neither a loss nor a score: train another task, such as "
        "experiments/trec.py, with --init-from and the workdir of this model"
    )
