"""Masked language modelling as a task: from texts to a model that fills gaps, and its scores."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from flax_transformer.data.batches.examples import (
    Examples,
    Inputs,
    LabelledBatch,
    LabelledBatches,
    TextInputs,
    evaluation_batches,
)
from flax_transformer.data.datasets.labelled_datasets import (
    LabelledTextConfig,
    open_texts,
    train_tokenizer,
)
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_documents, read_own_texts
from flax_transformer.data.datasets.text_datasets import (
    PlainTextConfig,
    encode_lines,
    make_tokenizer,
    read_lines,
)
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import NUM_SPECIAL, Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.evaluation.scores import mean_loss, perplexity, token_accuracy
from flax_transformer.models.encoder_only import EncoderOnly
from flax_transformer.tasks.counts import Counts
from flax_transformer.tasks.cut_texts import warn_of_cut_texts
from flax_transformer.tasks.masked_language_modeling.mask_filler import MASK_TEXT, MaskFiller
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling import (
    MaskedLanguageModeling,
)
from flax_transformer.tasks.task import NUM_SAMPLES, TOKENIZER, Parts, Scored, Scorer, Variables

ROWS = 64  # of an evaluation's batches: enough to keep the processor busy
MAX_PASSES = 50  # over texts in which no token was hidden; each pass hides others


class MaskedLanguageModelingTask:
    """Predicts hidden tokens of texts by an encoder-only model; see `Task` for its methods."""

    unit = "texts"

    def __init__(self, parts: Parts, tokenizer: Tokenizer):
        self._data, self._tokenizer = parts.data, tokenizer
        model = EncoderOnly(parts.model, tokenizer.vocab_size)
        self.objective = MaskedLanguageModeling(parts.task, model)

    @classmethod
    def prepare(
        cls, parts: Parts, folder: Path, *, num_devices: int, rows_multiple: int
    ) -> tuple["MaskedLanguageModelingTask", LabelledBatches]:
        """Reads the data to train on."""
        data, path = parts.data, folder / TOKENIZER
        tokenizer = Tokenizer.load(path) if path.exists() else _make_tokenizer(data)
        examples = _open(data, tokenizer, data.train_split)
        batches = LabelledBatches(examples, data.batch_size, rows_multiple, parts.seed)
        return cls(parts, tokenizer), batches

    @classmethod
    def restore(cls, parts: Parts, folder: Path) -> "MaskedLanguageModelingTask":
        """Makes the task of a trained model."""
        return cls(parts, Tokenizer.load(folder / TOKENIZER))

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self._tokenizer.save(folder / TOKENIZER)

    def scorer(self, split: str) -> Scorer:
        """Opens a split to predict, with the same tokens hidden every time."""
        return self._scorer(_open(self._data, self._tokenizer, split))

    def own_scorer(self, files: OwnFiles) -> Scorer:
        """Reads a user's own texts to predict, with the same tokens hidden every time."""
        data = self._data
        if isinstance(data, PlainTextConfig):
            texts = encode_lines(self._tokenizer, read_own_documents(files), data.max_length)
        else:
            texts = TokenizedText.encode(self._tokenizer, read_own_texts(files), begin=True)
        inputs = TextInputs(texts, data.max_length)
        if not len(inputs):
            raise UserError(f"{files.file} has no line of text: give another file")
        warn_of_cut_texts(inputs)
        return self._scorer(_of_no_class(inputs))

    def _scorer(self, examples: Examples) -> Scorer:
        rows = examples.inputs.take(np.arange(min(NUM_SAMPLES, len(examples.inputs))))
        gaps = [self._gap(row[row >= NUM_SPECIAL]) for row in rows]
        count = jax.jit(self.objective.count)

        def score(variables: Variables, is_quick: bool = False) -> Scored:
            tokens, nll, correct = _sum(partial(count, variables), examples)
            scores = (
                mean_loss(nll, tokens),
                perplexity(nll, tokens),
                token_accuracy(correct, tokens),
            )
            lines = [] if is_quick else self._samples(variables, gaps)
            return Scored({score.name: score for score in scores}, [], lines, gaps[0])

        return score

    def predictor(self, variables: Variables) -> MaskFiller:
        """Makes a filler of gaps."""
        return MaskFiller(self.objective, variables, self._tokenizer, self._data.max_length)

    def examples(self, batch: LabelledBatch) -> Iterator[dict[str, Any]]:
        """Gives the texts."""
        for row, tokens in enumerate(np.asarray(batch.inputs)):
            if tokens.any():
                yield {"row": row, "text": self._tokenizer.decode(tokens)}

    def _samples(self, variables: Variables, gaps: list[str]) -> list[str]:
        filled = self.predictor(variables).fill(gaps)
        return [f"  {gap} -> {found.text}" for gap, found in zip(gaps, filled, strict=True)]

    def _gap(self, tokens: np.ndarray) -> str:
        """A text with its middle token hidden."""
        middle = len(tokens) // 2
        before, token, after = (
            self._tokenizer.decode(ids)
            for ids in (tokens[:middle], tokens[middle : middle + 1], tokens[middle + 1 :])
        )
        return before + " " * token.startswith(" ") + MASK_TEXT + after


def _sum(count: Callable[[LabelledBatch, PRNGKeyArray], Counts], examples: Examples) -> np.ndarray:
    """Sums the counts of all examples; repeats a few short ones until a token was hidden."""
    sums: list[Counts] = []
    for _ in range(MAX_PASSES):
        for _, batch in evaluation_batches(examples, min(ROWS, len(examples.inputs))):
            sums.append(jax.device_get(count(batch, jax.random.key(len(sums)))))
        total = np.array(sums, np.float64).sum(axis=0)
        if total[0]:
            return total
    raise UserError(
        "the texts to score are so short that no token of them was hidden: give more text, or "
        "train with a larger --task.mask-rate"
    )


def _make_tokenizer(data: PlainTextConfig | LabelledTextConfig) -> Tokenizer:
    if isinstance(data, PlainTextConfig):
        return make_tokenizer(data, by_line=True)
    return train_tokenizer(data)


def _open(data: PlainTextConfig | LabelledTextConfig, tokenizer: Tokenizer, split: str) -> Examples:
    """The texts of a split between begin and end marks, all of one class."""
    if isinstance(data, PlainTextConfig):
        inputs = TextInputs(read_lines(data, tokenizer, split), data.max_length)
    else:
        inputs = open_texts(data, tokenizer, split).inputs
        warn_of_cut_texts(inputs, f"of the split {split}")
    return _of_no_class(inputs)


def _of_no_class(inputs: Inputs) -> Examples:
    return Examples(inputs, np.zeros(len(inputs), np.int32))
