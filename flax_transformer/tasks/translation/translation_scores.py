"""Scores of a translation model on sentence pairs: of its predictions and of its translations."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from flax_transformer.data.batches.batching import evaluation_batches
from flax_transformer.data.datasets.parallel_text import Pair
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.evaluation.metric import compute_scores, metrics_of
from flax_transformer.tasks.counts import Counts
from flax_transformer.tasks.task import NUM_SAMPLES, Scored
from flax_transformer.tasks.translation.translation import Translation
from flax_transformer.tasks.translation.translator import Translator, greedy


class Scorer:
    """Scores variables of one model on one split, as often as asked.

    Args:
        task: with the model.
        translator: that translates with it.
        pairs: sources and references.
        tokenize: how BLEU splits texts into words; see `bleu`.
        further: the same number of other references for each pair.

    Attributes:
        pairs: sources and references.
    """

    def __init__(
        self,
        task: Translation,
        translator: Translator,
        pairs: Sequence[Pair],
        *,
        tokenize: str,
        further: Sequence[Sequence[str]] = (),
    ):
        self.pairs = list(pairs)
        self._references = [
            (pair.target, *texts)
            for pair, texts in zip(self.pairs, further or [()] * len(self.pairs), strict=True)
        ]
        self._translator = translator
        self._tokenize = tokenize
        self._count = jax.jit(task.count)

    def __call__(self, variables: Any, is_quick: bool = False) -> Scored:
        """Translates the sources and scores the translations and the model itself.

        Args:
            variables: the model's parameters and statistics.
            is_quick: search greedily, not in the translator's own way.
        """
        self._translator.variables = variables
        decoding = greedy(self._translator.decoding) if is_quick else None
        outputs = self._translator.translate([pair.source for pair in self.pairs], decoding)
        counts = self._counts(variables)
        scores = compute_scores(
            (*metrics_of("hypotheses"), "token_accuracy", "perplexity"),
            hypotheses=outputs,
            references=self._references,
            tokenize=self._tokenize,
            num_correct=float(counts.correct),
            num_targets=float(counts.tokens),
            loss_sum=float(counts.nll),
        )
        return Scored(scores, outputs, samples(self.pairs, outputs), self.pairs[0].source)

    def _counts(self, variables: Any) -> Counts:
        batches = (
            self._count(variables, batch) for _, batch in evaluation_batches(*self._tokenized_pairs)
        )
        return functools.reduce(lambda a, b: jax.tree.map(lambda x, y: x + y, a, b), batches)

    @functools.cached_property
    def _tokenized_pairs(self) -> tuple[TokenizedPairs, int, int]:
        translator = self._translator
        source, target = (
            TokenizedText.encode(translator.tokenizer, texts)
            for texts in zip(*self.pairs, strict=True)
        )
        # References are never cut: perplexity is that of the whole text.
        longest = max(translator.max_length, int(target.lengths.max()))
        pairs = TokenizedPairs(source.cut(translator.max_length), target)
        return pairs, max(4096, longest), longest


def samples(pairs: Sequence[Pair], outputs: Sequence[str]) -> list[str]:
    """Makes lines that show the first few translations beside their references.

    Example:
        >>> samples([Pair("one", "eins"), Pair("two", "zwei")], ["eins", "2"])
        ['  one -> eins', '  two -> 2 (zwei)']
    """
    shown = zip(pairs[:NUM_SAMPLES], outputs[:NUM_SAMPLES], strict=True)
    return [
        f"  {pair.source} -> {output}" + ("" if output == pair.target else f" ({pair.target})")
        for pair, output in shown
    ]
