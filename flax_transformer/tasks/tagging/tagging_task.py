"""Token tagging: from sentences with tagged words to the loss of the tags, a tagger and scores."""

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from flax_transformer.data.batches.batch import NO_CLASS
from flax_transformer.data.datasets.conllu import TaggedSentence, TaggedWordsConfig, read_conllu
from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError, unknown
from flax_transformer.evaluation.class_scores import Outcomes
from flax_transformer.evaluation.metric import compute_scores
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.tagging.tag_batches import Pieces, TagBatch, TagBatches, cut
from flax_transformer.tasks.tagging.tagger import TaggedWord, Tagger, show, tag_logits
from flax_transformer.tasks.tagging.tagging_config import TaggingConfig
from flax_transformer.tasks.task import (
    NUM_SAMPLES,
    TOKENIZER,
    Experiment,
    Loss,
    Scored,
    Task,
    Variables,
    apply_in_training,
    draw,
    loss_of,
)
from flax_transformer.whole_files import written_whole

TAGS = "tags.json"


class _Tagged(NamedTuple):
    """Sentences to tag, with their right tags."""

    sentences: list[TaggedSentence]
    labels: list[list[int]]
    pieces: Pieces


class TaggingTask(Task):
    """Tells the tag of every word of a sentence, such as its part of speech.

    Attributes:
        tokenizer: of the words.
        tags: names in the order of their numbers.

    Reference:
        Devlin et al. 2019, "BERT", section 5.3: the tag of a word is told at its first subword.
    """

    description = "the words of a sentence to a tag for each of them"
    config = TaggingConfig
    reads = (TaggedWordsConfig,)
    takes = ("tokens", "vectors")
    scores = ("accuracy", "macro_f1", "loss")
    unit = "words"
    command = "tag"

    def __init__(self, experiment: Experiment, tokenizer: Tokenizer, tags: tuple[str, ...]):
        self.experiment, self.tokenizer, self.tags = experiment, tokenizer, tags
        self.model = experiment.model.build(vocab_size=tokenizer.vocab_size, num_classes=len(tags))
        # Of a training, the validation split is scored again and again.
        self._opened = functools.lru_cache(maxsize=1)(self._open)

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TaggingTask":
        """Reads tokenizer and tags, or learns them from the training split."""
        data = experiment.data
        if not training:
            tags = _read_tags(folder / TAGS)
            return cls(experiment, Tokenizer.load(folder / TOKENIZER), tags)
        split = open_split(data, data.train_split)
        if (folder / TOKENIZER).exists():
            tokenizer = Tokenizer.load(folder / TOKENIZER)
        else:
            texts = (" ".join(record["words"]) for record in split)
            tokenizer = Tokenizer.train(texts, data.vocab_size)
        task = cls(experiment, tokenizer, split.class_names)
        task._opened(data.validation_split)
        return task

    def save(self, folder: Path) -> None:
        """Writes tokenizer and tags."""
        path = folder / TAGS
        if path.exists() and _read_tags(path) != self.tags:
            raise UserError(
                f"the tags of the data are not those of {path}: train into another --workdir"
            )
        with written_whole(path) as file:
            file.write_text(json.dumps(self.tags) + "\n", encoding="utf-8")
        self.tokenizer.save(folder / TOKENIZER)

    def batches(self, split: str, *, num_devices: int = 1, rows_multiple: int = 1) -> TagBatches:
        """Makes batches of pieces of sentences."""
        data = self.experiment.data
        return TagBatches(
            self._open(split).pieces,
            data.max_length,
            data.batch_size,
            rows_multiple=rows_multiple,
            seed=self.experiment.seed,
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters."""
        one = jnp.ones((1, 1), jnp.int32)
        return draw(self.model, rng, one, one, method=tag_logits)

    def loss(self, variables: Variables, batch: TagBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the cross-entropy of the tags."""
        inputs, segments = jnp.asarray(batch.inputs), jnp.asarray(batch.segments)
        logits, collections = apply_in_training(
            self.model, variables, rng, inputs, segments, False, method=tag_logits
        )
        labels = jnp.asarray(batch.labels)
        weights = (labels != NO_CLASS).astype(jnp.float32)
        smoothing = self.experiment.task.label_smoothing
        loss, weight = label_smoothed_cross_entropy(
            logits, jnp.maximum(labels, 0), weights, smoothing
        )
        return loss_of(loss, weight, collections)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Tags every word of a split."""
        tagged, tagger = self._opened(split), self.predictor(variables)
        probabilities = np.concatenate(list(tagger.predict(tagged.pieces)))
        labels = np.concatenate([np.array(row, np.int64) for row in tagged.labels])
        right = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
        nll = -np.log(np.maximum(right, np.finfo(np.float32).tiny))
        outcomes = Outcomes.of(probabilities, nll, labels)
        lines = list(self._lines(tagged.sentences, outcomes.given.tolist()))
        samples = [f"  {line}" for line in lines[:NUM_SAMPLES]]
        return Scored(
            compute_scores(self.scores, **outcomes.measured(len(self.tags))),
            lines,
            samples,
            " ".join(tagged.sentences[0].words),
            {} if is_quick else outcomes.details(self.tags),
        )

    def predictor(self, variables: Variables) -> Tagger:
        """Makes a tagger."""
        max_length = self.experiment.data.max_length
        return Tagger(self.model, variables, self.tokenizer, self.tags, max_length)

    def examples(self, batch: TagBatch) -> Iterator[dict[str, Any]]:
        """Gives the texts of the pieces and the tags of their words."""
        for row, (inputs, labels) in enumerate(zip(batch.inputs, batch.labels, strict=True)):
            numbers = labels[labels != NO_CLASS].tolist()
            if numbers:
                text = self.tokenizer.decode(inputs.tolist())
                yield {"row": row, "text": text, "tags": [self.tags[n] for n in numbers]}

    def _open(self, split: str | OwnFiles) -> _Tagged:
        if isinstance(split, str):
            opened = open_split(self.experiment.data, split)
            sentences = [TaggedSentence(**record) for record in opened]
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
        max_length = self.experiment.data.max_length
        return _Tagged(sentences, labels, cut(self.tokenizer, words, labels, max_length))

    def _lines(self, sentences: Iterable[TaggedSentence], given: Iterable[int]) -> Iterator[str]:
        """A line for each sentence, with the tag that was given to each word."""
        numbers = iter(given)
        for sentence in sentences:
            yield show(
                TaggedWord(word, self.tags[number], 0.0)
                for word, number in zip(sentence.words, numbers, strict=False)
            )


def _read_tags(path: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} ({error}): restore the file, or train again into an empty workdir"
        ) from error
