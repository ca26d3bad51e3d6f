"""Where the tokens of a sequence are in the arrays of a run, so that two runs can be compared."""

import functools
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from flax_transformer.inspection.proof_inputs import Kind
from flax_transformer.inspection.proof_runs import OUTPUT, Arrays

# Arrays with an axis of heads before those of queries and keys.
BY_PAIRS = ("scores", "weights")


class Place(NamedTuple):
    """Where the tokens of a sequence are: in adjacent places of a row."""

    row: int
    start: int
    length: int

    def span(self) -> slice:
        """The places within the row."""
        return slice(self.start, self.start + self.length)


class Laid(NamedTuple):
    """Sequences laid into rows.

    Attributes:
        rows: side -> tokens [rows, width].
        segments: side -> numbers of sequences within their row, from 1; 0 is padding.
        places: of each sequence, by side.
    """

    rows: dict[str, np.ndarray]
    segments: dict[str, np.ndarray]
    places: list[dict[str, Place]]


def lay_packed(sides: Mapping[str, Sequence[np.ndarray]], behind: int) -> Laid:
    """Packs sequences into rows: the first and the third, the second and the fourth.

    Args:
        sides: sequences of each side.
        behind: places of padding at the end.
    """
    number = next(len(sequences) for sequences in sides.values())
    half = number // 2
    return _lay(sides, [(i % half, i // half) for i in range(number)], behind, to_the_left=False)


def lay_padded(
    sides: Mapping[str, Sequence[np.ndarray]], behind: int, *, to_the_left: bool = False
) -> Laid:
    """Pads sequences to one length, each in a row.

    Args:
        sides: sequences of each side.
        behind: places of padding in the longest row.
        to_the_left: whether the padding comes before the tokens.
    """
    number = next(len(sequences) for sequences in sides.values())
    return _lay(sides, [(i, 0) for i in range(number)], behind, to_the_left)


def _lay(
    sides: Mapping[str, Sequence[np.ndarray]],
    spots: Sequence[tuple[int, int]],
    behind: int,
    to_the_left: bool,
) -> Laid:
    """Lays sequences into rows; a spot is the row and the number of sequences before, in it."""
    num_rows = max(row for row, _ in spots) + 1
    laid = Laid({}, {}, [{} for _ in spots])
    for side, sequences in sides.items():
        filled = [0] * num_rows
        for (row, _), sequence in zip(spots, sequences, strict=True):
            filled[row] += len(sequence)
        width = max(filled) + behind
        rows, segments = np.zeros((2, num_rows, width), np.int32)
        filled = [width - size if to_the_left else 0 for size in filled]
        for i, ((row, before), sequence) in enumerate(zip(spots, sequences, strict=True)):
            place = Place(row, filled[row], len(sequence))
            rows[row, place.span()], segments[row, place.span()] = sequence, before + 1
            filled[row] += len(sequence)
            laid.places[i][side] = place
        laid.rows[side], laid.segments[side] = rows, segments
    return laid


def cut(arrays: Arrays, kind: Kind, place: Mapping[str, Place]) -> Arrays:
    """Cuts what belongs to one sequence out of the arrays of a run.

    Args:
        arrays: [rows, ...], with an axis of places after that of rows, or [rows, heads, queries,
            keys] of attention; vectors [rows, features] of whole texts have none.
        kind: of the model.
        place: of the sequence, by side.

    Returns:
        The arrays [length, ...], or [queries, keys, heads], without padding. Of an image or a video
        it is everything, with what belongs to each of its times or places one after the other.
    """
    num_rows = len(arrays[OUTPUT])
    cut_one = _cut if kind.segments else functools.partial(_cut_pixels, num_rows)
    return OrderedDict(
        (name, cut_one(name, np.asarray(x), kind, place)) for name, x in arrays.items()
    )


def _cut(name: str, array: np.ndarray, kind: Kind, place: Mapping[str, Place]) -> np.ndarray:
    queries, keys = (place[side] for side in sides_of(name, kind))
    own = array[queries.row]
    if name.rpartition(".")[2] in BY_PAIRS:
        return np.moveaxis(own[:, queries.span(), keys.span()], 0, -1)
    return own[queries.span()] if array.ndim > 2 else own


def _cut_pixels(
    num_rows: int, name: str, array: np.ndarray, kind: Kind, place: Mapping[str, Place]
) -> np.ndarray:
    own = array.reshape(num_rows, -1, *array.shape[1:])[place[kind.sides[0]].row]
    own = np.moveaxis(own, 1, -1) if name.rpartition(".")[2] in BY_PAIRS else own
    return own.reshape(-1, *own.shape[2:])


def sides_of(name: str, kind: Kind) -> tuple[str, str]:
    """Returns the sides of an activation's places, and of the keys of attention.

    Example:
        >>> pair = Kind(("tokens", "target_tokens"), ("source", "target"))
        >>> sides_of("decoder.0.cross_attention.weights", pair)
        ('target', 'source')
        >>> sides_of("decoder.0.cross_attention.keys", pair)
        ('source', 'source')
    """
    first, last = kind.sides[0], kind.sides[-1]
    if name.startswith(("encoder", first)):
        return first, first
    if "cross_attention." in name:
        return (first if name.endswith((".keys", ".values")) else last), first
    return last, last
