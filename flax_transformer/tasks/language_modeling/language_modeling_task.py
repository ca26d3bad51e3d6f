"""Language modeling: the loss of the next token, scores and a generator of plain text."""

import dataclasses
from collections.abc import Iterator

import jax
import numpy as np

from flax_transformer.data.batches.batch import TextBatch
from flax_transformer.data.batches.window_batches import WindowBatches
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_documents
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.tokenized_splits import (
    Stream,
    count_bytes,
    encode_stream,
    tokenize_stream,
)
from flax_transformer.evaluation.metric import compute_scores
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.tasks.target_tokens import add_counts
from flax_transformer.tasks.task import Example, Fields, Scored, Variables
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.text_task import TextTask

PROMPT_SHARE = 4  # the prompt of a sample is the first quarter of a piece
TOKENS_PER_BATCH = 4096  # tokens of an evaluation's batch: enough rows to keep the processor busy


@dataclasses.dataclass(frozen=True)
class LanguageModelingConfig(TaskConfig):
    """How a language model is trained."""


class LanguageModelingTask(TextTask):
    """Continues texts with a decoder-only model.

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.
    """

    description = "the beginning of a text to its continuation"
    config = LanguageModelingConfig
    reads = (PlainTextConfig,)
    takes = ("tokens", "next_tokens")
    scores = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
    unit = "tokens"
    command = "generate"
    searches = True
    attention_options = ("length",)

    def batches(self, split: str, *, num_devices: int = 1) -> WindowBatches:
        """Makes batches of pieces of the text."""
        data, seed = self.experiment.data, self.experiment.seed
        stream = tokenize_stream(data, self.tokenizer, split)
        return WindowBatches(stream, data.max_length, data.batch_size, seed=seed)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Scores predictions of every token of a split; unless quick, also continues its start."""
        stream, num_bytes = self.read(split)
        length = self.experiment.data.max_length
        batches = WindowBatches(stream, length, max(TOKENS_PER_BATCH // length, 1), seed=None)
        parts = (self._count(variables, batch) for _, batch in batches.epoch())
        counts = add_counts(jax.tree.map(float, part) for part in parts)
        scores = compute_scores(self.scores, **counts, num_bytes=num_bytes)
        lines = [] if is_quick else [self._sample(variables, stream[1:])]
        first = self.tokenizer.decode(stream[1 : 1 + length]).partition("\n")[0]
        return Scored(scores, [], lines, first)

    def predictor(self, variables: Variables) -> Generator:
        """Makes a generator."""
        return Generator(*self.predictor_parts(variables))

    def first_example(self, split: str | OwnFiles) -> Example:
        """Returns the beginning of a split, which samples continue too."""
        stream, _ = self.read(split)
        return Example(self._prompt(stream[1:]))

    def examples(self, batch: TextBatch) -> Iterator[Fields]:
        """Decodes the pieces of text."""
        for row, tokens in enumerate(np.asarray(batch.tokens).tolist()):
            # An end mark within the piece separates two documents and does not end the text.
            shown = (token for token in tokens if token != self.tokenizer.eos_id)
            yield {"row": row, "text": self.tokenizer.decode(shown)}

    def open_split(self, split: str | OwnFiles) -> tuple[Stream, int]:
        """The tokens of a split, and the number of its bytes."""
        data = self.experiment.data
        if isinstance(split, str):
            return tokenize_stream(data, self.tokenizer, split), count_bytes(data, split)
        documents = read_own_documents(split)
        num_bytes = sum(len(document.encode()) for document in documents)
        return encode_stream(self.tokenizer, documents), num_bytes

    def _sample(self, variables: Variables, stream: np.ndarray) -> str:
        """Continues the beginning of the split."""
        length, prompt = self.experiment.data.max_length, self._prompt(stream)
        decoding = dataclasses.replace(self.experiment.decoding, num_best=1)
        [[text]] = self.predictor(variables).generate([prompt], decoding, length=length // 2)
        return f"{prompt!r} -> {text!r}"

    def _prompt(self, stream: np.ndarray) -> str:
        """The first part of a piece."""
        length = self.experiment.data.max_length
        return self.tokenizer.decode(stream[: max(length // PROMPT_SHARE, 1)])
