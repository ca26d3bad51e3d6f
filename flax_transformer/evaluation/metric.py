"""The registry of metrics: how each score is computed, shown and compared."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, NamedTuple

from flax_transformer.evaluation.class_scores import accuracy, macro_f1, top5_accuracy
from flax_transformer.evaluation.scores import (
    Score,
    bits_per_byte,
    bleu,
    chrf,
    exact_match,
    mean_loss,
    perplexity,
    token_accuracy,
)


class Metric(NamedTuple):
    """How a score is computed, shown and compared.

    Attributes:
        compute: returns the score, or None if it is meaningless. It is called with the arguments
            that it names, out of those that an evaluation has: `hypotheses`, `references` and
            `tokenize` of texts; `loss_sum`, `num_targets`, `num_correct` and `num_bytes` of
            targets; `labels`, `given`, `confidences`, `is_in_top` and `num_classes` of classes.
        unit: of the values; "" for a plain number.
        less_is_better: whether a lower value is better.
    """

    compute: Callable[..., Score | None]
    unit: str = "percent"
    less_is_better: bool = False


METRICS = {
    "bleu": Metric(bleu),
    "chrf": Metric(chrf),
    "exact_match": Metric(exact_match),
    "token_accuracy": Metric(token_accuracy),
    "accuracy": Metric(accuracy),
    "top5_accuracy": Metric(top5_accuracy),
    "macro_f1": Metric(macro_f1),
    "loss": Metric(mean_loss, "nats", less_is_better=True),
    "perplexity": Metric(perplexity, "", less_is_better=True),
    "bits_per_byte": Metric(bits_per_byte, "bits", less_is_better=True),
}


def metrics_of(*arguments: str) -> tuple[str, ...]:
    """Returns the names of the metrics that are computed from any of these arguments.

    Example:
        >>> metrics_of("hypotheses")[:3]
        ('bleu', 'chrf', 'exact_match')
    """
    return tuple(name for name in METRICS if not _arguments(name).isdisjoint(arguments))


class MetricsOf:
    """A class attribute with the names of scores, looked up in METRICS at every access.

    Args:
        arguments: see `metrics_of`.
        others: further names, appended to these.

    Example:
        >>> class OfTexts:
        ...     scores = MetricsOf("hypotheses", others=("loss",))
        >>> OfTexts.scores[-2:]
        ('exact_match', 'loss')
    """

    def __init__(self, *arguments: str, others: tuple[str, ...] = ()):
        self._arguments, self._others = arguments, others

    def __get__(self, instance: object, owner: type) -> tuple[str, ...]:
        """Returns the names."""
        return *metrics_of(*self._arguments), *self._others


def compute_scores(names: Iterable[str], **measured: Any) -> dict[str, Score]:
    """Computes scores by the names of their metrics.

    Args:
        names: of metrics, in the order of the result.
        measured: all values of an evaluation; each metric takes the arguments that it names.

    Returns:
        The scores by name, without meaningless ones.

    Example:
        >>> list(compute_scores(["loss", "perplexity"], loss_sum=3.0, num_targets=2).values())[0]
        Score(name='loss', value=1.5, signature=None)
    """
    found = {}
    for name in names:
        arguments = {key: measured[key] for key in measured.keys() & _arguments(name)}
        found[name] = METRICS[name].compute(**arguments)
    return {name: score for name, score in found.items() if score is not None}


def shown(name: str, value: float) -> str:
    """Formats a value: percentages with two decimals, nats and bits with four.

    Example:
        >>> shown("bleu", 41.0249), shown("loss", 1.46971)
        ('41.02', '1.4697')
    """
    has_small_unit = name in METRICS and METRICS[name].unit in ("nats", "bits")
    return f"{value:.{4 if has_small_unit else 2}f}"


def shown_scores(scores: Mapping[str, float]) -> str:
    """Formats the values of several scores as one line.

    Example:
        >>> shown_scores({"bleu": 41.0249, "loss": 1.46971})
        'bleu 41.02  loss 1.4697'
    """
    return "  ".join(f"{name} {shown(name, value)}" for name, value in scores.items())


def is_less_better(name: str) -> bool:
    """Returns whether lower values of a metric are better.

    Example:
        >>> is_less_better("bleu"), is_less_better("perplexity")
        (False, True)
    """
    return name in METRICS and METRICS[name].less_is_better


def _arguments(name: str) -> Set[str]:
    return inspect.signature(METRICS[name].compute).parameters.keys()
