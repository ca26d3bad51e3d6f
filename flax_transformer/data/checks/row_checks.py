"""The checks of one part by the numbers of its examples, and of a part against train."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flax_transformer.data.checks.examined import PAIR, TEXT
from flax_transformer.data.checks.findings import SHOWN, Kind
from flax_transformer.data.checks.measured import Measured
from flax_transformer.data.checks.repeated import (
    DUPLICATE,
    OVERLAP,
    OVERLAP_NORMALIZED,
    OVERLAP_SOURCE,
    SEVERAL_CLASSES,
    SEVERAL_TARGETS,
    find_common,
    find_other_versions,
    find_repeats,
)
from flax_transformer.data.checks.sides import (
    EMPTY,
    IDENTICAL,
    LONG,
    MAX_CHARACTERS,
    RATIO,
    find_unlikely_lengths,
)
from flax_transformer.data.checks.token_checks import SPELLED, TOO_LONG, UNKNOWN


class Found(NamedTuple):
    """Examples of a part with the same kind of fault.

    Attributes:
        kind: of the fault.
        indices: of the examples, in order.
        notes: about the first few of them; none if there is nothing to add.
    """

    kind: Kind
    indices: Int[np.ndarray, " found"]
    notes: Sequence[str] = ()


def check_rows(measured: Measured) -> Iterator[Found]:
    """Runs the checks of one part; a check without faults gives no indices."""
    part, rows, _, _, _ = measured
    if part.kind == PAIR:
        yield Found(EMPTY, np.flatnonzero((rows.sources == 0) | (rows.targets == 0)))
        yield Found(IDENTICAL, np.flatnonzero(rows.is_identical))
        yield _with_lengths(RATIO, find_unlikely_lengths(rows.sources, rows.targets), measured)
    if part.kind in MAX_CHARACTERS:
        longest = np.maximum(rows.sources, rows.targets)
        yield _with_lengths(LONG, np.flatnonzero(longest > MAX_CHARACTERS[part.kind]), measured)
    yield Found(UNKNOWN, np.flatnonzero(rows.is_unknown))
    yield Found(SPELLED, np.flatnonzero(rows.is_spelled))
    yield Found(TOO_LONG, np.flatnonzero(rows.is_long))
    compared = np.flatnonzero(rows.is_compared)
    yield _with_others(DUPLICATE, compared, find_repeats(rows.wholes[compared]), "as", measured)
    if part.kind != TEXT:
        kind = SEVERAL_TARGETS if part.kind == PAIR else SEVERAL_CLASSES
        other = find_other_versions(rows.keys[compared], rows.wholes[compared])
        yield _with_others(kind, compared, other, "see", measured)


def check_overlap(measured: Measured, train: Measured) -> Iterator[Found]:
    """Finds the examples of a part that are also in train: each in the strictest way."""
    rows, others = measured.rows, train.rows
    left, there = np.flatnonzero(rows.is_compared), np.flatnonzero(others.is_compared)
    for kind, name in (
        (OVERLAP, "wholes"),
        (OVERLAP_NORMALIZED, "normalized"),
        (OVERLAP_SOURCE, "keys"),
    ):
        found, places = find_common(getattr(others, name)[there], getattr(rows, name)[left])
        numbers = others.numbers[there[places[:SHOWN]]]
        notes = [f"{train.part.unit} {number:,} of train" for number in numbers.tolist()]
        yield Found(kind, left[found], notes)
        left = np.delete(left, found)


def _with_lengths(kind: Kind, indices: Int[np.ndarray, " found"], measured: Measured) -> Found:
    sides = (measured.rows.sources[indices[:SHOWN]], measured.rows.targets[indices[:SHOWN]])
    both = measured.part.kind == PAIR
    notes = [
        f"{source:,} and {target:,} characters" if both else f"{source:,} characters"
        for source, target in zip(*(side.tolist() for side in sides), strict=True)
    ]
    return Found(kind, indices, notes)


def _with_others(
    kind: Kind,
    compared: Int[np.ndarray, " compared"],
    found: Iterable[Int[np.ndarray, " found"]],
    word: str,
    measured: Measured,
) -> Found:
    """The later one of two examples, with a note of the earlier one."""
    later, first = (compared[indices] for indices in found)
    numbers = measured.rows.numbers[first[:SHOWN]].tolist()
    return Found(kind, later, [f"{word} {measured.part.unit} {number:,}" for number in numbers])
