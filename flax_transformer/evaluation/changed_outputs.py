"""The examples whose outputs differ most between two systems."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import sacrebleu


class Changed(NamedTuple):
    """An example with different outputs.

    Attributes:
        index: of the example, from 0.
        first: how good the output of the first system is: sentence chrF, or the probability of the
            right class in percent.
        second: the same for the second system.
    """

    index: int
    first: float
    second: float


def changed_texts(
    first: Sequence[str], second: Sequence[str], references: Sequence[Sequence[str]]
) -> list[Changed]:
    """Returns the examples with different texts, by the difference of their chrF, largest first.

    Args:
        first: texts of the first system.
        second: texts of the second system.
        references: right texts of each example.

    Example:
        >>> changed_texts(["eins", "zwei"], ["eins", "drei"], [["eins"], ["zwei"]])[0].first
        100.0
    """
    chrf = sacrebleu.CHRF()
    changed = [
        Changed(index, *(chrf.sentence_score(text, list(right)).score for text in texts))
        for index, (*texts, right) in enumerate(zip(first, second, references, strict=True))
        if texts[0] != texts[1]
    ]
    return _sorted(changed)


class Decision(NamedTuple):
    """The class that a classifier gives, and the probabilities in percent that it lists."""

    given: str
    probabilities: Mapping[str, float]


def read_decision(line: str, class_names: Sequence[str]) -> Decision:
    r"""Reads the line of an example that a classifier's evaluation writes.

    Args:
        line: the class and the probabilities of all classes; of more than 100 classes, pairs of a
            class and its probability, the most probable first.
        class_names: in the order of the class numbers.

    Example:
        >>> read_decision("b\t0.2500\t0.7500", ["a", "b"])
        Decision(given='b', probabilities={'a': 25.0, 'b': 75.0})
    """
    given, *fields = line.split("\t")
    if len(fields) == len(class_names):
        return Decision(given, dict(zip(class_names, _percent(fields), strict=True)))
    names = [given, *fields[1::2]]
    return Decision(given, dict(zip(names, _percent(fields[::2]), strict=True)))


def changed_decisions(
    first: Sequence[Decision], second: Sequence[Decision], labels: Sequence[str]
) -> list[Changed]:
    """Returns the examples that get different classes, by the change of probability.

    Args:
        first: decisions of the first system.
        second: decisions of the second system.
        labels: the right class of each example.

    Returns:
        The examples, the largest change of the probability of the right class first. A class that
        a decision does not list counts as 0.
    """
    return _sorted(
        Changed(index, *(one.probabilities.get(label, 0.0) for one in decisions))
        for index, (*decisions, label) in enumerate(zip(first, second, labels, strict=True))
        if decisions[0].given != decisions[1].given
    )


def _percent(fields: Sequence[str]) -> list[float]:
    return [100 * float(field) for field in fields]


def _sorted(changed: Iterable[Changed]) -> list[Changed]:
    return sorted(changed, key=lambda one: (-abs(one.first - one.second), one.index))
