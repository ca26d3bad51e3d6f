"""Compares two runs of a model, and finds the first activation that differs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from flax_transformer.inspection.proof_runs import OUTPUT, Arrays, Look

# The runs of a comparison: (variables, look) -> the arrays of each sequence.
Run = Callable[[Any, Look], Sequence[Arrays]]
# max|difference| / max|value| of what is equal; see CONTRIBUTING, "What equal means".
EQUAL = 1e-5
# Sums in another order differ by a multiple of what the last bit of the weights changes. In twelve
# layers of width 256, it was 0.7 times as much with weights of deviation 0.2, where it passes
# `EQUAL`, and 10 times with weights of deviation 1. More than `LARGEST` is never equal.
ROUNDINGS, LARGEST = 16, 1e-2


class Comparison(NamedTuple):
    """Two runs that must give the same.

    Attributes:
        name: of the second run.
        expected: the first run.
        actual: the second run.
    """

    name: str
    expected: Run
    actual: Run


class FirstDifference(NamedTuple):
    """The first activation, in order of computation, in which two runs differ.

    Attributes:
        activation: its name, such as decoder.1.self_attention.keys.
        sequence: number of the sequence, from 0.
        position: number of the token in its sequence, from 0; None for a whole text or picture.
        difference: largest one, relative to the largest value.
    """

    activation: str
    sequence: int
    position: int | None
    difference: float


class Verdict(NamedTuple):
    """The result of a comparison.

    Attributes:
        difference: of the outputs, relative to the largest value.
        tolerance: up to which they are equal.
        rounding: how much the last bit of the weights changes the outputs, if it was measured.
        first: the first difference; None if they are equal, or if all activations are.
    """

    difference: float
    tolerance: float = EQUAL
    rounding: float | None = None
    first: FirstDifference | None = None

    @property
    def is_equal(self) -> bool:
        """Whether the runs give the same; what is not a number is equal to nothing."""
        return self.difference <= self.tolerance


def compare(comparison: Comparison, variables: Any) -> Verdict:
    """Compares the outputs of two runs; if they differ, finds the first difference.

    Args:
        comparison: the runs.
        variables: of the model.
    """
    expected = comparison.expected(variables, "nothing")
    actual = comparison.actual(variables, "nothing")
    difference = _relative(expected, actual, OUTPUT)
    if difference <= EQUAL:
        return Verdict(difference)
    disturbed = comparison.expected(with_other_last_bits(variables), "nothing")
    rounding = _relative(expected, disturbed, OUTPUT)
    verdict = Verdict(difference, _tolerance(rounding), rounding)
    if verdict.is_equal:
        return verdict
    return verdict._replace(first=find_first_difference(comparison, variables))


def find_first_difference(comparison: Comparison, variables: Any) -> FirstDifference | None:
    """Walks through the activations of two runs in order of computation.

    Args:
        comparison: the runs.
        variables: of the model.

    Returns:
        The first difference beyond rounding; None if only the output differs, or if nothing does
        while anything is looked at.
    """
    # While all activations are collected, formulas compute what kernels compute otherwise. A
    # difference that is then gone is looked for between the methods of modules.
    looks: tuple[Look, ...] = ("activations", "results")
    return next(filter(None, (_first_seen(comparison, variables, look) for look in looks)), None)


def _first_seen(comparison: Comparison, variables: Any, look: Look) -> FirstDifference | None:
    expected = comparison.expected(variables, look)
    disturbed = comparison.expected(with_other_last_bits(variables), look)
    actual = comparison.actual(variables, look)
    for name in expected[0]:
        if name not in actual[0]:
            continue
        difference = _relative(expected, actual, name)
        if not difference <= _tolerance(_relative(expected, disturbed, name)):
            return _located(expected, actual, name, difference)
    return None


def with_other_last_bits(variables: Any) -> Any:
    """Changes every weight by its last bit, up or down: what rounding to float32 does.

    Args:
        variables: of a model.

    Example:
        >>> change = with_other_last_bits(np.float32(1.5)) - np.float32(1.5)
        >>> bool(0 < abs(change) < 3e-7)
        True
    """
    rng = np.random.default_rng(0)

    def disturb(array: Any) -> Any:
        if not np.issubdtype(array.dtype, np.floating):
            return array
        signs = rng.choice(np.array([-1, 1], np.float32), np.shape(array))
        return np.asarray(array) * (1 + signs * np.float32(2**-23))

    return jax.tree.map(disturb, variables)


def _tolerance(rounding: float) -> float:
    return max(EQUAL, min(ROUNDINGS * rounding, LARGEST))


def _relative(expected: Sequence[Arrays], actual: Sequence[Arrays], name: str) -> float:
    """Returns max|difference| / max|value| over all sequences; nan if a value is not a number."""
    differences = [np.abs(d).max(initial=0.0) for d in _differences(expected, actual, name)]
    largest = max(np.abs(arrays[name]).max(initial=0.0) for arrays in expected)
    return float(np.max(differences) / largest) if largest else float(np.max(differences))


def _differences(
    expected: Sequence[Arrays], actual: Sequence[Arrays], name: str
) -> list[np.ndarray]:
    differences = []
    for arrays, others in zip(expected, actual, strict=True):
        difference = np.asarray(others[name], np.float64) - arrays[name]
        weights = f"{name.removesuffix('scores')}weights"
        if name.endswith(".scores") and weights in arrays:
            # Scores of what may not be attended to have no meaning.
            difference = np.where(arrays[weights] > 0, difference, 0.0)
        differences.append(difference)
    return differences


def _located(
    expected: Sequence[Arrays], actual: Sequence[Arrays], name: str, difference: float
) -> FirstDifference:
    """Finds the first position of the first sequence whose difference is more than rounding."""
    differences = _differences(expected, actual, name)
    largest = max(np.nanmax(np.abs(arrays[name]), initial=0.0) for arrays in expected)
    for sequence, array in enumerate(differences):
        by_position = np.abs(array).reshape(len(array), -1).max(axis=1, initial=0.0)
        differs = ~(by_position <= EQUAL * (largest or 1.0))
        if differs.any():
            position = int(differs.argmax()) if array.ndim > 1 else None
            return FirstDifference(name, sequence, position, difference)
    raise AssertionError(name)
