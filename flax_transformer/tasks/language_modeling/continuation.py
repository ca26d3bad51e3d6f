"""Texts that are continued piece by piece, in batches of few shapes and bounded size."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int32, UInt32

from flax_transformer.decoding.sampling import text_number

# Tokens of a batch, read and written: enough rows to keep the processor busy.
TOKENS_PER_BATCH = 8192
MIN_LENGTH = 16  # of what a batch reads or writes; less saves nothing worth compiling for


@dataclasses.dataclass(eq=False)  # a key of dictionaries
class Continuation:
    """A text and what was written after it so far.

    Attributes:
        prompt: ids of the beginning.
        length: tokens to write at most.
        sample: number of this continuation among those of the same prompt.
        written: ids.
        log_prob: of what was written, in nats.
        has_ended: whether nothing more is to be written.
    """

    prompt: list[int]
    length: int
    sample: int = 0
    written: list[int] = dataclasses.field(default_factory=list)
    log_prob: float = 0.0
    has_ended: bool = False

    def piece(self, max_length: int) -> "Piece":
        """Gives what is read next by a model that reads max_length tokens at a time.

        That is all of the text while it fits. Of a longer prompt it is the end; a text that has
        outgrown max_length goes on from its last half.
        """
        read = self.prompt + self.written
        if self.written:
            read = read[-max(max_length // 2, 1) :]
        elif len(read) > max_length:
            # Two tokens can be written before the text must be read again.
            read = read[-max(max_length - 1, 1) :]
        # The last token written is not read.
        room = max_length - len(read) + 1
        return Piece(self, read, min(room, self.length - len(self.written)))

    def add(self, tokens: list[int], log_prob: float, eos_id: int) -> None:
        """Appends what was written of a piece, with its log-probability."""
        self.written += tokens
        self.log_prob += log_prob
        self.has_ended = eos_id in tokens or len(self.written) >= self.length


class Piece(NamedTuple):
    """What is read next of a text, and how many tokens may be written after it."""

    text: Continuation
    read: list[int]
    limit: int


class Rows(NamedTuple):
    """The arrays of a batch of pieces.

    Attributes:
        prompts: padded on the left.
        limits: tokens to write at most.
        lengths: tokens of the whole text so far, of which a prompt may hold the end only.
        numbers: what the random key of each row is made of.
    """

    prompts: Int32[Array | np.ndarray, "rows prompt_length"]
    limits: Int32[Array | np.ndarray, " rows"]
    lengths: Int32[Array | np.ndarray, " rows"]
    numbers: UInt32[Array | np.ndarray, "rows words"]


class PieceBatch(NamedTuple):
    """Pieces of similar lengths, one a row; rows behind the last piece repeat the first one.

    Attributes:
        pieces: of the first rows.
        rows: their arrays.
        max_length: the most tokens that a row may have to write.
    """

    pieces: list[Piece]
    rows: Rows
    max_length: int


def piece_batches(
    pieces: Iterable[Piece], max_length: int, pad_id: int, hypotheses: int = 1
) -> Iterator[PieceBatch]:
    """Gives every piece once, the shortest first.

    Lengths and rows are powers of two, so that there are few shapes to compile. The lengths of a
    piece do not depend on the other pieces.

    Args:
        pieces: to read.
        max_length: tokens that the model reads at a time.
        pad_id: id of padding.
        hypotheses: that a search keeps of each.
    """

    def shape(piece: Piece) -> tuple[int, int]:
        return _rounded(len(piece.read), max_length), _rounded(piece.limit, max_length)

    for (read, room), group in itertools.groupby(sorted(pieces, key=shape), shape):
        rows = max(TOKENS_PER_BATCH // ((read + room) * hypotheses), 1)
        rows = 1 << rows.bit_length() - 1
        group = list(group)
        for start in range(0, len(group), rows):
            part = group[start : start + rows]
            yield PieceBatch(part, _rows(part, read, pad_id), room)


def _rounded(length: int, max_length: int) -> int:
    """The power of two next above, but no more than the model reads."""
    return min(max(1 << (length - 1).bit_length(), MIN_LENGTH), max_length)


def _rows(pieces: list[Piece], prompt_length: int, pad_id: int) -> Rows:
    rows = 1 << (len(pieces) - 1).bit_length()
    prompts = np.full((rows, prompt_length), pad_id, np.int32)
    # One token ends the rows that repeat the first piece.
    limits, lengths = np.ones(rows, np.int32), np.ones(rows, np.int32)
    numbers = np.zeros((rows, 3), np.uint32)
    for row, (text, read, limit) in enumerate(pieces):
        prompts[row, prompt_length - len(read) :] = read
        limits[row], lengths[row] = limit, len(text.prompt) + len(text.written)
        numbers[row] = text_number(text.prompt), text.sample, len(text.written)
    prompts[len(pieces) :] = prompts[0]
    return Rows(prompts, limits, lengths, numbers)
