"""Translation: from files of sentence pairs to a loss, a translator and its scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.batches.packed_batches import PackedBatches
from flax_transformer.data.datasets.datasets import open_split, read_pairs
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_pairs
from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenized_splits import tokenize_pairs
from flax_transformer.evaluation.bleu_tokenizers import check_tokenizer, choose_tokenizer
from flax_transformer.evaluation.metric import MetricsOf
from flax_transformer.functional.losses import linear_cross_entropy
from flax_transformer.modules.token_embedding import LogitFactors
from flax_transformer.tasks.counts import Counts, add_counts, count_tokens
from flax_transformer.tasks.task import (
    Experiment,
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
from flax_transformer.tasks.translation.shift_right import shift_right
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.tasks.translation.translation_scores import samples, score_translations
from flax_transformer.tasks.translation.translator import Translator, greedy

TOKENS_PER_BATCH = 4096  # target tokens of an evaluation's batch


class TranslationTask(TextTask):
    """Translates sentences by an encoder-decoder.

    Its tokenizer is joint for both languages.
    """

    description = "a sentence of one language to one of another"
    config = TranslationConfig
    reads = (ParallelTextConfig,)
    takes = ("tokens", "target_tokens")
    scores = MetricsOf("hypotheses", others=("token_accuracy", "perplexity"))
    unit = "target tokens"
    command = "translate"
    searches = True
    attention_options = ("target",)

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TextTask":
        """Reads the tokenizer; for a new training it is learned from the training data."""
        if training:
            check_tokenizer(experiment.task.bleu_tokenizer)
            for split in (experiment.data.train_split, experiment.data.held_out_split):
                open_split(experiment.data, split)
        return super().open(experiment, folder, training=training)

    def batches(self, split: str, *, num_devices: int = 1, rows_multiple: int = 1) -> Batches:
        """Makes batches of similar lengths, or of packed rows."""
        data, seed = self.experiment.data, self.experiment.seed
        pairs = tokenize_pairs(data, self.tokenizer, split)
        tokens_per_batch, batch_size = data.limits(num_devices)
        if data.packing:
            return PackedBatches(
                pairs,
                data.max_length,
                tokens_per_batch=tokens_per_batch,
                rows_multiple=rows_multiple,
                seed=seed,
            )
        return LengthBatches.for_training(
            pairs,
            data.num_buckets,
            tokens_per_batch=tokens_per_batch,
            batch_size=batch_size,
            rows_multiple=rows_multiple,
            seed=seed,
        )

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters; statistics start neutral."""
        tokens = jnp.zeros((1, 1), jnp.int32)
        return draw(self.model, rng, tokens, tokens, method="__call__")

    def loss(self, variables: Variables, batch: Batch, rng: PRNGKeyArray) -> Loss:
        """Computes the label-smoothed cross-entropy of the target tokens."""
        factors, collections = apply_in_training(
            self.model,
            variables,
            rng,
            **self._inputs(batch),
            deterministic=False,
            method=_logit_factors,
        )
        weights = (jnp.asarray(batch.target_segments) != 0).astype(jnp.float32)
        config, target = self.experiment.task, jnp.asarray(batch.target)
        loss, weight = linear_cross_entropy(
            factors.hidden,
            factors.table,
            target,
            weights,
            config.label_smoothing,
            config.smoothing_over,
            bias=factors.bias,
            cap=factors.cap,
        )
        return loss_of(loss, weight, collections)

    def count(self, variables: Variables, batch: Batch) -> Counts:
        """Counts how well the model predicts each target token from the right ones before it."""
        logits = self.model.apply(variables, **self._inputs(batch))
        is_token = jnp.asarray(batch.target_segments) != 0
        return count_tokens(logits, jnp.asarray(batch.target), is_token)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Translates a split and scores the translations and the predictions of the references.

        Args:
            variables: of the model.
            split: of the data set, or a user's own files.
            is_quick: search greedily instead of in the experiment's own way.
        """
        pairs, tokenized = self.read(split)
        translator = self.predictor(variables)
        decoding = greedy(translator.decoding) if is_quick else None
        outputs = translator.translate([pair.source for pair in pairs], decoding)
        counts = add_counts(self._count(variables, batch) for _, batch in tokenized.epoch())
        tokenize = self._bleu_tokenizer(pairs)
        scores = score_translations(self.scores, outputs, pairs, counts, tokenize)
        return Scored(scores, outputs, samples(pairs, outputs), pairs[0].source)

    def predictor(self, variables: Variables) -> Translator:
        """Makes a translator."""
        experiment = self.experiment
        return Translator(
            self.model,
            variables,
            self.tokenizer,
            experiment.decoding,
            experiment.data.max_length,
        )

    def examples(self, batch: Batch) -> Iterator[Fields]:
        """Decodes the pairs row by row; a packed row has several, a row of padding none."""
        for row, segments in enumerate(np.asarray(batch.target_segments)):
            for number in range(1, int(max(segments.max(), batch.source_segments[row].max())) + 1):
                source = np.asarray(batch.source)[row][batch.source_segments[row] == number]
                target = np.asarray(batch.target)[row][segments == number]
                decode = self.tokenizer.decode
                yield {"row": row, "source": decode(source), "target": decode(target)}

    def _inputs(self, batch: Batch) -> dict[str, Array]:
        """What the model reads of a batch."""
        source, target, source_segments, target_segments = map(jnp.asarray, batch)
        return {
            "source": source,
            "target": shift_right(target, target_segments, self.tokenizer.bos_id),
            "source_segments": source_segments,
            "target_segments": target_segments,
        }

    def open_split(self, split: str | OwnFiles) -> tuple[list[Pair], Batches]:
        """The pairs of a split, and batches of their tokens."""
        if isinstance(split, str):
            pairs = read_pairs(self.experiment.data, split)
        else:
            pairs = read_own_pairs(split)
        source = TokenizedText.encode(self.tokenizer, (pair.source for pair in pairs))
        target = TokenizedText.encode(self.tokenizer, (pair.target for pair in pairs))
        # References are never cut: perplexity is that of the whole text.
        max_length = self.experiment.data.max_length
        longest = max(max_length, int(target.lengths.max()))
        tokenized = TokenizedPairs(source.cut(max_length), target)
        tokens = max(TOKENS_PER_BATCH, longest)
        return pairs, LengthBatches.for_evaluation(tokenized, tokens, longest)

    def _bleu_tokenizer(self, pairs: Sequence[Pair]) -> str:
        """Name of the tokenizer by which BLEU splits the references of some pairs into words."""
        data, name = self.experiment.data, self.experiment.task.bleu_tokenizer
        if name == "auto" and data.form == "tokenized":
            return "none"
        return choose_tokenizer(name, data.target_language, (pair.target for pair in pairs))


def _logit_factors(model: Model, **inputs: Array | bool) -> LogitFactors:
    """The factors of the logits, see `functional.linear_cross_entropy`."""
    return model.embedding.logit_factors(model.represent(**inputs))
