"""Scores of a translation model on sentence pairs: of its translations and of its predictions."""

from collections.abc import Sequence

from flax_transformer.data.datasets.split import Pair
from flax_transformer.evaluation.metric import compute_scores
from flax_transformer.evaluation.scores import Score
from flax_transformer.tasks.counts import Counts
from flax_transformer.tasks.task import NUM_SAMPLES


def score_translations(
    names: Sequence[str],
    outputs: Sequence[str],
    pairs: Sequence[Pair],
    counts: Counts,
    tokenize: str,
) -> dict[str, Score]:
    """Scores translations against all references, and the predictions of the first ones.

    Args:
        names: of the scores.
        outputs: translations.
        pairs: sources and references.
        counts: of the predictions, see `count_tokens`.
        tokenize: how BLEU splits texts into words; see `bleu`.
    """
    return compute_scores(
        names,
        hypotheses=outputs,
        references=[(pair.target, *pair.references) for pair in pairs],
        tokenize=tokenize,
        num_correct=float(counts.correct),
        num_targets=float(counts.tokens),
        loss_sum=float(counts.nll),
    )


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
