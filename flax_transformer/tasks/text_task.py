"""Base class of the tasks that tokenize texts."""

import functools
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from flax_transformer.data.batches.batch import Batch, LabeledBatch, TextBatch
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.functional.losses import linear_cross_entropy
from flax_transformer.modules.token_embedding import LogitFactors
from flax_transformer.tasks.target_tokens import Counts, count_tokens, next_tokens
from flax_transformer.tasks.task import (
    TOKENIZER,
    Experiment,
    Fields,
    Loss,
    Model,
    Task,
    Variables,
    apply_in_training,
    draw,
    loss_of,
)


class TextTask(Task):
    """A task with one tokenizer; its vocabulary is the model's.

    Unless a subclass changes it, the model predicts each token from the earlier ones.

    Attributes:
        smoothing: config fields that are arguments of the loss.
        tokenizer: of all its texts.
        read: gives a split, or a user's own files, in the form that the task scores. Training
            scores the validation split many times, so the last one is cached.
    """

    smoothing: ClassVar[tuple[str, ...]] = ("label_smoothing",)

    def __init__(self, experiment: Experiment, tokenizer: Tokenizer, **sizes: int):
        self.experiment, self.tokenizer = experiment, tokenizer
        self.model = experiment.model.build(vocab_size=tokenizer.vocab_size, **sizes)
        self.read = functools.lru_cache(maxsize=1)(self.open_split)
        self._count = jit_by_rows(self.count, rows=("batch",), fill="empty")

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TextTask":
        """Reads the tokenizer; for a new training it is learned from the training data."""
        task = cls(experiment, cls.open_tokenizer(experiment.data, folder, training=training))
        if training:
            task.read(experiment.data.validation_split)
        return task

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self.tokenizer.save(folder / TOKENIZER)

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Initializes the model's parameters at random, by texts of one token."""
        return draw(self.model, rng, *self.given().values(), method=self.method)

    def loss(self, variables: Variables, batch: Batch | TextBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the label-smoothed cross-entropy of the tokens to predict."""
        inputs, target, is_target = next_tokens(batch, self.tokenizer.bos_id)
        factors, collections = apply_in_training(
            self.model, variables, rng, **inputs, deterministic=False, method=_logit_factors
        )
        loss, weight = linear_cross_entropy(
            factors.hidden,
            factors.table,
            target,
            is_target.astype(jnp.float32),
            **{name: getattr(self.experiment.task, name) for name in self.smoothing},
            bias=factors.bias,
            cap=factors.cap,
        )
        return loss_of(loss, weight, collections)

    def count(self, variables: Variables, batch: Batch | TextBatch) -> Counts:
        """Counts how well a model predicts the targets of a batch from the true earlier tokens."""
        inputs, target, is_target = next_tokens(batch, self.tokenizer.bos_id)
        return count_tokens(self.model.apply(variables, **inputs), target, is_target)

    def given(self, batch: Batch | TextBatch | LabeledBatch | None = None) -> Fields:
        """Returns token ids and segments."""
        if batch is None:
            sides = ("source", "target") if self.takes[1] == "target_tokens" else ("tokens",)
            return {side: jnp.full((1, 1), self.tokenizer.bos_id, jnp.int32) for side in sides}
        if isinstance(batch, LabeledBatch):
            return {"tokens": jnp.asarray(batch.inputs), "segments": jnp.asarray(batch.segments)}
        return next_tokens(batch, self.tokenizer.bos_id)[0]

    @classmethod
    def open_tokenizer(cls, data: DataConfig, folder: Path, *, training: bool) -> Tokenizer:
        """Reads the tokenizer; a trained model needs its own, as another one has other ids."""
        path = folder / TOKENIZER
        is_new = training and not path.exists()
        return cls.learn_tokenizer(data) if is_new else load_tokenizer(path)

    @classmethod
    def learn_tokenizer(cls, data: DataConfig) -> Tokenizer:
        """Learns the tokenizer from the training split."""
        return make_tokenizer(data)

    @abstractmethod
    def open_split(self, split: str | OwnFiles) -> Any:
        """Opens a split, or a user's own files; see `read`."""

    def predictor_parts(self, variables: Variables) -> tuple:
        """Returns the arguments of a `TextPredictor`."""
        decoding, max_length = self.experiment.decoding, self.experiment.data.max_length
        return self.model, variables, self.tokenizer, decoding, max_length


def _logit_factors(model: Model, **inputs: Array | bool) -> LogitFactors:
    """The factors of the logits; see `functional.linear_cross_entropy`."""
    return model.embedding.logit_factors(model.represent(**inputs))
