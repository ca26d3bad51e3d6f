"""Language modelling as a task: from files of text to a generator and its scores."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from flax_transformer.data.batches.windows import TextBatch, WindowBatches, evaluation_windows
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_documents
from flax_transformer.data.datasets.text_datasets import (
    Stream,
    count_bytes,
    encode_stream,
    prepare_stream,
    read_stream,
)
from flax_transformer.data.tokens.tokenizer import EOS, PAD, Tokenizer
from flax_transformer.evaluation.scores import (
    bits_per_byte,
    mean_loss,
    perplexity,
    token_accuracy,
)
from flax_transformer.models.decoder_only import DecoderOnly
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.tasks.language_modeling.language_modeling import LanguageModeling
from flax_transformer.tasks.task import TOKENIZER, Parts, Scored, Scorer, Variables

PROMPT_SHARE = 4  # of a piece: its first quarter is shown as the prompt of a sample
# Rows of an evaluation's batches: enough to keep the processor busy.
TOKENS_PER_BATCH = 4096


class LanguageModelingTask:
    """Continues texts by a decoder-only model; see `Task` for its methods."""

    unit = "tokens"

    def __init__(self, parts: Parts, tokenizer: Tokenizer):
        self._parts, self._tokenizer = parts, tokenizer
        model = DecoderOnly(parts.model, tokenizer.vocab_size)
        self.objective = LanguageModeling(parts.task, model)

    @classmethod
    def prepare(
        cls, parts: Parts, folder: Path, *, num_devices: int, rows_multiple: int
    ) -> tuple["LanguageModelingTask", WindowBatches]:
        """Reads the data to train on."""
        data = parts.data
        tokenizer, stream = prepare_stream(data, folder / TOKENIZER)
        batches = WindowBatches(stream, data.max_length, data.batch_size, rows_multiple, parts.seed)
        return cls(parts, tokenizer), batches

    @classmethod
    def restore(cls, parts: Parts, folder: Path) -> "LanguageModelingTask":
        """Makes the task of a trained model."""
        return cls(parts, Tokenizer.load(folder / TOKENIZER))

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self._tokenizer.save(folder / TOKENIZER)

    def scorer(self, split: str) -> Scorer:
        """Opens a split to predict."""
        data = self._parts.data
        return self._scorer(read_stream(data, self._tokenizer, split), count_bytes(data, split))

    def own_scorer(self, files: OwnFiles) -> Scorer:
        """Reads a user's own text to predict."""
        documents = read_own_documents(files)
        num_bytes = sum(len(document.encode()) for document in documents)
        return self._scorer(encode_stream(self._tokenizer, documents), num_bytes)

    def _scorer(self, stream: Stream, num_bytes: int) -> Scorer:
        data = self._parts.data
        rows = max(TOKENS_PER_BATCH // data.max_length, 1)
        count = jax.jit(self.objective.count)

        def score(variables: Variables, is_quick: bool = False) -> Scored:
            batches = evaluation_windows(stream, data.max_length, rows)
            sums = [jax.device_get(count(variables, batch)) for batch in batches]
            tokens, nll, correct = np.array(sums, np.float64).sum(axis=0)
            scores = (
                mean_loss(nll, tokens),
                perplexity(nll, tokens),
                bits_per_byte(nll, num_bytes),
                token_accuracy(correct, tokens),
            )
            lines = [] if is_quick else [self._sample(variables, stream[1:])]
            first = self._tokenizer.decode(stream[1 : 1 + data.max_length]).partition("\n")[0]
            return Scored({score.name: score for score in scores}, [], lines, first)

        return score

    def predictor(self, variables: Variables) -> Generator:
        """Makes a generator."""
        return Generator(
            self.objective.model,
            variables,
            self._tokenizer,
            self._parts.decoding,
            self._parts.data.max_length,
        )

    def examples(self, batch: TextBatch) -> Iterator[dict[str, Any]]:
        """Gives the pieces of text."""
        for row, tokens in enumerate(np.asarray(batch.tokens).tolist()):
            # An end mark within the piece stands between two documents, and ends no text here.
            shown = (PAD if token == EOS else token for token in tokens)
            yield {"row": row, "text": self._tokenizer.decode(shown)}

    def _sample(self, variables: Variables, stream: np.ndarray) -> str:
        """Continues the beginning of the split."""
        length = self._parts.data.max_length
        prompt = self._tokenizer.decode(stream[: max(length // PROMPT_SHARE, 1)])
        decoding = dataclasses.replace(self._parts.decoding, num_best=1)
        [[text]] = self.predictor(variables).generate([prompt], decoding, length=length // 2)
        return f"{prompt!r} -> {text!r}"
