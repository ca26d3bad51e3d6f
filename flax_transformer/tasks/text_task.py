"""What the tasks that tokenize texts have in common."""

import functools
from abc import abstractmethod
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from flax_transformer.data.batches.batch import AnyBatch
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.tasks.counts import Counts
from flax_transformer.tasks.task import TOKENIZER, Experiment, Task, Variables


class TextTask(Task):
    """A task of one tokenizer, whose vocabulary is the model's.

    Attributes:
        tokenizer: of all its texts.
        read: gives a split, or a user's own files, as the task scores them. During a training the
            validation split is scored many times, so the last one is kept.
    """

    def __init__(self, experiment: Experiment, tokenizer: Tokenizer):
        self.experiment, self.tokenizer = experiment, tokenizer
        self.model = experiment.model.build(vocab_size=tokenizer.vocab_size)
        self.read = functools.lru_cache(maxsize=1)(self.open_split)
        self._count = jax.jit(self.count)

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TextTask":
        """Reads the tokenizer; for a new training it is learned from the training data."""
        path = folder / TOKENIZER
        is_kept = path.exists() or not training
        tokenizer = Tokenizer.load(path) if is_kept else cls.learn_tokenizer(experiment.data)
        task = cls(experiment, tokenizer)
        if training:
            task.read(experiment.data.validation_split)
        return task

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self.tokenizer.save(folder / TOKENIZER)

    @classmethod
    def learn_tokenizer(cls, data: DataConfig) -> Tokenizer:
        """Learns the tokenizer from the training split."""
        return make_tokenizer(data)

    @abstractmethod
    def open_split(self, split: str | OwnFiles) -> Any:
        """Opens a split, or a user's own files; see `read`."""

    @abstractmethod
    def count(self, variables: Variables, batch: AnyBatch, *rng: PRNGKeyArray) -> Counts:
        """Counts how well a model predicts the targets of a batch."""
