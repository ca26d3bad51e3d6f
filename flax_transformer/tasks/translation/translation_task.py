"""Translation: the loss, scores and translator of sentence pairs."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.batches.packed_batches import PackedBatches
from flax_transformer.data.datasets.datasets import read_pairs
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_pairs
from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenized_splits import tokenize_pairs
from flax_transformer.evaluation.bleu_tokenizers import check_tokenizer, choose_tokenizer
from flax_transformer.evaluation.metric import MetricsOf, compute_scores
from flax_transformer.evaluation.scores import Score
from flax_transformer.tasks.target_tokens import Counts, add_counts
from flax_transformer.tasks.task import NUM_SAMPLES, Example, Experiment, Fields, Scored, Variables
from flax_transformer.tasks.text_task import TextTask
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.tasks.translation.translator import Translator

TOKENS_PER_BATCH = 4096  # target tokens in a batch of an evaluation


class TranslationTask(TextTask):
    """Translates sentences with an encoder-decoder.

    Both languages share one tokenizer.
    """

    description = "a sentence to its translation"
    config = TranslationConfig
    reads = (ParallelTextConfig,)
    takes = ("tokens", "target_tokens")
    scores = MetricsOf("hypotheses", others=("token_accuracy", "perplexity"))
    unit = "target tokens"
    command = "translate"
    searches = True
    attention_options = ("target",)
    smoothing = ("label_smoothing", "smoothing_over")

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "TextTask":
        """Reads the tokenizer; for a new training it is learned from the training data."""
        if training:
            check_tokenizer(experiment.task.bleu_tokenizer)
        return super().open(experiment, folder, training=training)

    def batches(self, split: str, *, num_devices: int = 1) -> Batches:
        """Makes batches of similar lengths, or of packed rows."""
        data, seed = self.experiment.data, self.experiment.seed
        pairs = tokenize_pairs(data, self.tokenizer, split)
        tokens_per_batch, batch_size = data.limits(num_devices)
        if data.packing:
            return PackedBatches(
                pairs,
                data.max_length,
                tokens_per_batch=tokens_per_batch,
                seed=seed,
            )
        return LengthBatches.for_training(
            pairs,
            data.num_buckets,
            tokens_per_batch=tokens_per_batch,
            batch_size=batch_size,
            seed=seed,
        )

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Translates a split; scores the translations and the perplexity of the references.

        Args:
            variables: of the model.
            split: of the data set, or a user's own files.
            is_quick: whether to search greedily instead of as the experiment says.
        """
        pairs, tokenized = self.read(split)
        translator = self.predictor(variables)
        quick = {"method": "greedy", "num_best": 1} if is_quick else {}
        decoding = dataclasses.replace(translator.decoding, **quick)
        outputs = translator.translate([pair.source for pair in pairs], decoding)
        scores = compute_scores(
            self.scores,
            hypotheses=outputs,
            references=[(pair.target, *pair.references) for pair in pairs],
            tokenize=bleu_tokenizer(self.experiment, pairs),
            **self._sum(variables, tokenized),
        )
        return Scored(scores, outputs, samples(pairs, outputs), pairs[0].source)

    def measure(self, variables: Variables, split: str | OwnFiles) -> Mapping[str, Score]:
        """Scores the predictions of the references' tokens."""
        _, tokenized = self.read(split)
        names = ("loss", "perplexity", "token_accuracy")
        return compute_scores(names, **self._sum(variables, tokenized))

    def predictor(self, variables: Variables) -> Translator:
        """Makes a translator."""
        return Translator(*self.predictor_parts(variables))

    def first_example(self, split: str | OwnFiles) -> Example:
        """Returns the first pair of a split."""
        pairs, _ = self.read(split)
        return Example(pairs[0].source, pairs[0].target)

    def examples(self, batch: Batch) -> Iterator[Fields]:
        """Decodes the pairs of every row: several of a packed row, none of a row of padding."""
        for row, segments in enumerate(np.asarray(batch.target_segments)):
            for number in range(1, int(max(segments.max(), batch.source_segments[row].max())) + 1):
                source = np.asarray(batch.source)[row][batch.source_segments[row] == number]
                target = np.asarray(batch.target)[row][segments == number]
                decode = self.tokenizer.decode
                yield {"row": row, "source": decode(source), "target": decode(target)}

    def open_split(self, split: str | OwnFiles) -> tuple[list[Pair], Batches]:
        """The pairs of a split, and batches of their tokens."""
        if isinstance(split, str):
            pairs = read_pairs(self.experiment.data, split)
        else:
            pairs = read_own_pairs(split)
        source = TokenizedText.encode(self.tokenizer, (pair.source for pair in pairs))
        target = TokenizedText.encode(self.tokenizer.target, (pair.target for pair in pairs))
        # References are never cut, so the perplexity is of the whole text.
        max_length = self.experiment.data.max_length
        longest = max(max_length, int(target.lengths.max()))
        tokenized = TokenizedPairs(source.cut(max_length), target)
        tokens = max(TOKENS_PER_BATCH, longest)
        return pairs, LengthBatches.for_evaluation(tokenized, tokens, longest)

    def _sum(self, variables: Variables, tokenized: Batches) -> Counts:
        """Sums the counts of all batches."""
        counts = add_counts(self._count(variables, batch) for _, batch in tokenized.epoch())
        return jax.tree.map(float, counts)


def bleu_tokenizer(experiment: Experiment, pairs: Sequence[Pair]) -> str:
    """Returns the name of the tokenizer that splits references of pairs into words for BLEU."""
    data, name = experiment.data, experiment.task.bleu_tokenizer
    if name == "auto" and data.form == "tokenized":
        return "none"
    return choose_tokenizer(name, data.target_language, (pair.target for pair in pairs))


def samples(pairs: Sequence[Pair], outputs: Sequence[str]) -> list[str]:
    """Makes lines that show the first few translations and their references.

    Example:
        >>> samples([Pair("one", "eins"), Pair("two", "zwei")], ["eins", "2"])
        ['  one -> eins', '  two -> 2 (zwei)']
    """
    shown = zip(pairs[:NUM_SAMPLES], outputs[:NUM_SAMPLES], strict=True)
    return [
        f"  {pair.source} -> {output}" + ("" if output == pair.target else f" ({pair.target})")
        for pair, output in shown
    ]
