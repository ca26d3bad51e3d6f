"""Token tagging: the loss of the tags, scores and a tagger of words."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.conllu import TaggedSentence, TaggedWordsConfig, read_conllu
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import unknown
from flax_transformer.evaluation.class_scores import Outcomes
from flax_transformer.evaluation.metric import compute_scores
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.class_names import read_class_names, save_class_names
from flax_transformer.tasks.tagging.tag_batches import TagBatches, cut
from flax_transformer.tasks.tagging.tagger import Tagger, show, tag_logits
from flax_transformer.tasks.task import (
    NUM_SAMPLES,
    Example,
    Experiment,
    Fields,
    Loss,
    Scored,
    Variables,
    apply_in_training,
    loss_of,
)
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.text_task import TextTask

TAGS = "tags.json"


@dataclasses.dataclass(frozen=True)
class TaggingConfig(TaskConfig):
    """How a model is trained to tag words."""


class TaggingTask(TextTask):
    """Predicts the tag of every word of a sentence, such as its part of speech.

    Attributes:
        tags: names in the order of the tag numbers.

    Reference:
        Devlin et al. 2019, "BERT", section 5.3: the tag of a word is predicted at its first
        subword.
    """

    description = "a sentence to a tag for each word"
    config = TaggingConfig
    reads = (TaggedWordsConfig,)
    takes = ("tokens", "vectors")
    scores = ("accuracy", "macro_f1", "loss")
    unit = "words"
    command = "tag"
    method = staticmethod(tag_logits)

    def __init__(self, experiment: Experiment, tokenizer: Tokenizer, tags: tuple[str, ...]):
        super().__init__(experiment, tokenizer, num_classes=len(tags))
        self.tags = tags

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TaggingTask":
        """Reads the tokenizer and the tags, or learns them from the training split."""
        data = experiment.data
        if not training:
            tags = read_class_names(folder / TAGS)
        else:
            tags = open_split(data, data.train_split).class_names
        task = cls(experiment, cls.open_tokenizer(data, folder, training=training), tags)
        if training:
            task.read(data.validation_split)
        return task

    @classmethod
    def learn_tokenizer(cls, data: DataConfig) -> Tokenizer:
        """Learns the tokenizer from the training split."""
        assert isinstance(data, TaggedWordsConfig)
        records = open_split(data, data.train_split)
        return Tokenizer.train((" ".join(record["words"]) for record in records), data.vocab_size)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer and the tags."""
        save_class_names(folder / TAGS, self.tags)
        super().save(folder)

    def batches(self, split: str, *, num_devices: int = 1) -> TagBatches:
        """Makes batches of pieces of sentences."""
        data, seed = self.experiment.data, self.experiment.seed
        _, _, *pieces = self.open_split(split)
        return TagBatches(
            *pieces,
            max_length=data.max_length,
            batch_size=data.batch_size,
            seed=seed,
        )

    def loss(self, variables: Variables, batch: LabeledBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the cross-entropy of the tags."""
        inputs, labels, segments = map(jnp.asarray, batch)
        logits, collections = apply_in_training(
            self.model, variables, rng, inputs, segments, False, method=tag_logits
        )
        weights = (labels != NO_CLASS).astype(jnp.float32)
        smoothing = self.experiment.task.label_smoothing
        loss, weight = label_smoothed_cross_entropy(logits, labels, weights, smoothing)
        return loss_of(loss, weight, collections)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Tags every word of a split."""
        sentences, labels, *pieces = self.read(split)
        tagger = self.predictor(variables)
        probabilities = tagger.predict(*pieces)
        right = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
        nll = -np.log(np.maximum(right, np.finfo(np.float32).tiny))
        outcomes = Outcomes.of(probabilities, nll, labels)
        words = [sentence.words for sentence in sentences]
        lines = list(map(show, tagger.name_tags(words, probabilities)))
        return Scored(
            compute_scores(self.scores, **outcomes.measured(len(self.tags))),
            lines,
            [f"  {line}" for line in lines[:NUM_SAMPLES]],
            " ".join(words[0]),
            {} if is_quick else outcomes.details(self.tags),
        )

    def predictor(self, variables: Variables) -> Tagger:
        """Makes a tagger."""
        return Tagger(*self.predictor_parts(variables), tags=self.tags)

    def first_example(self, split: str | OwnFiles) -> Example:
        """Returns the first sentence of a split."""
        (sentence, *_), *_ = self.read(split)
        return Example(" ".join(sentence.words), " ".join(sentence.tags))

    def examples(self, batch: LabeledBatch) -> Iterator[Fields]:
        """Yields the texts of the pieces and the tags of their words."""
        for row, (inputs, labels) in enumerate(zip(batch.inputs, batch.labels, strict=True)):
            numbers = labels[labels != NO_CLASS].tolist()
            if numbers:
                text = self.tokenizer.decode(inputs.tolist())
                yield {"row": row, "text": text, "tags": [self.tags[n] for n in numbers]}

    def open_split(
        self, split: str | OwnFiles
    ) -> tuple[list[TaggedSentence], np.ndarray, TokenizedText, TokenizedText]:
        """The sentences of a split, the tag of each of their words, and their pieces."""
        if isinstance(split, str):
            records = open_split(self.experiment.data, split)
            sentences = [TaggedSentence(**record) for record in records]
            where = f"the split {split}"
        else:
            (where,) = split.take("file")
            sentences = list(read_conllu(where))
        numbers = {tag: number for number, tag in enumerate(self.tags)}
        for tag in {tag for sentence in sentences for tag in sentence.tags}:
            if tag not in numbers:
                raise unknown(f"tag in {where}:", tag, self.tags)
        labels = [[numbers[tag] for tag in sentence.tags] for sentence in sentences]
        words = (sentence.words for sentence in sentences)
        pieces = cut(self.tokenizer, words, labels, self.experiment.data.max_length)
        return sentences, np.concatenate(labels), *pieces
