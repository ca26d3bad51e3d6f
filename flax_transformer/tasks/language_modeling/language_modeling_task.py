"""Language modeling: from files of text to the loss of the next token, a generator and scores."""

import dataclasses
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

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
from flax_transformer.functional.losses import linear_cross_entropy
from flax_transformer.modules.token_embedding import LogitFactors
from flax_transformer.tasks.counts import Counts, count_tokens, sum_counts
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.tasks.language_modeling.language_modeling_config import (
    LanguageModelingConfig,
)
from flax_transformer.tasks.task import (
    Fields,
    Loss,
    Model,
    Scored,
    Variables,
    apply_in_training,
    draw,
    loss_of,
)
from flax_transformer.tasks.text_task import TextTask

PROMPT_SHARE = 4  # of a piece: its first quarter is shown as the prompt of a sample
TOKENS_PER_BATCH = 4096  # of an evaluation: enough rows to keep the processor busy


class LanguageModelingTask(TextTask):
    """Continues texts by a decoder-only model.

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.
    """

    description = "the beginning of a text to what comes next"
    config = LanguageModelingConfig
    reads = (PlainTextConfig,)
    takes = ("tokens", "next_tokens")
    scores = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
    unit = "tokens"
    command = "generate"
    searches = True
    attention_options = ("length",)

    def batches(self, split: str, *, num_devices: int = 1, rows_multiple: int = 1) -> WindowBatches:
        """Makes batches of pieces of the text."""
        data, seed = self.experiment.data, self.experiment.seed
        stream = tokenize_stream(data, self.tokenizer, split)
        return WindowBatches(
            stream, data.max_length, data.batch_size, rows_multiple=rows_multiple, seed=seed
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters."""
        return draw(self.model, rng, jnp.zeros((1, 1), jnp.int32), method="__call__")

    def loss(self, variables: Variables, batch: TextBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the cross-entropy of the next tokens."""
        tokens, segments = jnp.asarray(batch.tokens), jnp.asarray(batch.segments)
        factors, collections = apply_in_training(
            self.model, variables, rng, tokens[:, :-1], segments[:, :-1], method=_logit_factors
        )
        weights = (segments[:, 1:] != 0).astype(jnp.float32)
        smoothing = self.experiment.task.label_smoothing
        loss, weight = linear_cross_entropy(
            factors.hidden,
            factors.table,
            tokens[:, 1:],
            weights,
            smoothing,
            bias=factors.bias,
            cap=factors.cap,
        )
        return loss_of(loss, weight, collections)

    def count(self, variables: Variables, batch: TextBatch) -> Counts:
        """Counts how well the model predicts each token from those before it in its piece."""
        tokens, segments = jnp.asarray(batch.tokens), jnp.asarray(batch.segments)
        logits = self.model.apply(variables, tokens[:, :-1], segments=segments[:, :-1])
        return count_tokens(logits, tokens[:, 1:], segments[:, 1:] != 0)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Predicts every token of a split; unless quick, also continues its beginning."""
        stream, num_bytes = self.read(split)
        length = self.experiment.data.max_length
        batches = WindowBatches(stream, length, max(TOKENS_PER_BATCH // length, 1), seed=None)
        tokens, nll, correct = sum_counts(
            self._count(variables, batch) for _, batch in batches.epoch()
        )
        scores = compute_scores(
            self.scores,
            loss_sum=nll,
            num_targets=tokens,
            num_bytes=num_bytes,
            num_correct=correct,
        )
        lines = [] if is_quick else [self._sample(variables, stream[1:])]
        first = self.tokenizer.decode(stream[1 : 1 + length]).partition("\n")[0]
        return Scored(scores, [], lines, first)

    def predictor(self, variables: Variables) -> Generator:
        """Makes a generator."""
        experiment = self.experiment
        return Generator(
            self.model,
            variables,
            self.tokenizer,
            experiment.decoding,
            experiment.data.max_length,
        )

    def examples(self, batch: TextBatch) -> Iterator[Fields]:
        """Gives the pieces of text."""
        for row, tokens in enumerate(np.asarray(batch.tokens).tolist()):
            # An end mark within the piece stands between two documents, and ends no text here.
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
        length = self.experiment.data.max_length
        prompt = self.tokenizer.decode(stream[: max(length // PROMPT_SHARE, 1)])
        decoding = dataclasses.replace(self.experiment.decoding, num_best=1)
        [[text]] = self.predictor(variables).generate([prompt], decoding, length=length // 2)
        return f"{prompt!r} -> {text!r}"


def _logit_factors(model: Model, tokens: Array, segments: Array) -> LogitFactors:
    """The factors of the logits, see `functional.linear_cross_entropy`."""
    hidden = model.represent(tokens, segments=segments, deterministic=False)
    return model.embedding.logit_factors(hidden)
