"""Translation as a task: from files of sentence pairs to a translator and its scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batching import TrainingBatches
from flax_transformer.data.batches.pipeline import prepare_training
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_pairs
from flax_transformer.data.datasets.parallel_datasets import open_split
from flax_transformer.data.datasets.parallel_text import Pair
from flax_transformer.data.tokens.tokenizer import PAD, Tokenizer
from flax_transformer.evaluation.bleu_tokenizers import check_tokenizer, choose_tokenizer
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.tasks.task import TOKENIZER, Parts, Variables
from flax_transformer.tasks.translation.translation import Translation
from flax_transformer.tasks.translation.translation_scores import Scorer
from flax_transformer.tasks.translation.translator import Translator


class TranslationTask:
    """Translates sentences by an encoder-decoder; see `Task` for its methods."""

    unit = "target tokens"

    def __init__(self, parts: Parts, tokenizer: Tokenizer):
        self._parts, self._tokenizer = parts, tokenizer
        model = EncoderDecoder(parts.model, tokenizer.vocab_size)
        self.objective = Translation(parts.task, model)

    @classmethod
    def prepare(
        cls, parts: Parts, folder: Path, *, num_devices: int, rows_multiple: int
    ) -> tuple["TranslationTask", TrainingBatches]:
        """Reads the data to train on."""
        data = parts.data
        check_tokenizer(parts.task.bleu_tokenizer)
        for split in (data.train_split, data.held_out_split, data.validation_split):
            open_split(data, split)
        tokenizer, pairs = prepare_training(data, folder / TOKENIZER)
        tokens_per_batch, batch_size = data.limits(num_devices)
        batches = TrainingBatches(
            pairs,
            tokens_per_batch,
            data.num_buckets,
            rows_multiple,
            parts.seed,
            batch_size,
            data.max_length if data.packing else None,
        )
        return cls(parts, tokenizer), batches

    @classmethod
    def restore(cls, parts: Parts, folder: Path) -> "TranslationTask":
        """Makes the task of a trained model."""
        return cls(parts, Tokenizer.load(folder / TOKENIZER))

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self._tokenizer.save(folder / TOKENIZER)

    def scorer(self, split: str) -> Scorer:
        """Opens a split to translate and score."""
        pairs = open_split(self._parts.data, split)
        return self._scorer(pairs, pairs.references())

    def own_scorer(self, files: OwnFiles) -> Scorer:
        """Reads a user's own files to translate and score."""
        return self._scorer(*read_own_pairs(files))

    def _scorer(self, pairs: Sequence[Pair], further: Sequence[Sequence[str]]) -> Scorer:
        data, name = self._parts.data, self._parts.task.bleu_tokenizer
        if name == "auto" and data.form == "tokenized":
            tokenize = "none"
        else:
            tokenize = choose_tokenizer(name, data.target_language, (pair.target for pair in pairs))
        predictor = self.predictor(None)
        return Scorer(self.objective, predictor, pairs, tokenize=tokenize, further=further)

    def predictor(self, variables: Variables) -> Translator:
        """Makes a translator; it may get its variables later."""
        return Translator(
            self.objective.model,
            variables,
            self._tokenizer,
            self._parts.decoding,
            self._parts.data.max_length,
        )

    def examples(self, batch: Batch) -> Iterator[dict[str, Any]]:
        """Gives the pairs of texts row by row."""
        return pair_examples(batch, self._tokenizer)


def pair_examples(batch: Batch, tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    """Decodes the pairs row by row; a packed row has several, one of nothing but padding none."""
    sides = (batch.source, batch.source_segments), (batch.target, batch.target_segments)
    # Where a row holds one pair, its tokens are all of segment 1.
    numbered = [
        (tokens, (tokens != PAD).astype(int) if segments is None else segments)
        for tokens, segments in sides
    ]
    for row in range(len(batch.target)):
        for number in range(1, max(int(segments[row].max()) for _, segments in numbered) + 1):
            texts = (
                tokenizer.decode(np.asarray(tokens)[row][segments[row] == number])
                for tokens, segments in numbered
            )
            yield {"row": row, **dict(zip(("source", "target"), texts, strict=True))}
