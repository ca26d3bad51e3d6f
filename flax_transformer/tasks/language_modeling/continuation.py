"""Piecewise continuation of texts, in batches of few shapes and bounded size."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from flax_transformer.data.batches.batches import padded_length
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.sampling import text_number
from flax_transformer.tasks.row_search import SearchRows

# Tokens of a batch, both read and written: enough rows to keep the processor busy.
TOKENS_PER_BATCH = 8192


@dataclasses.dataclass(eq=False)  # hashed by identity: a key of dictionaries
class Continuation:
    """A prompt and its continuation so far.

    Attributes:
        prompt: ids of the beginning.
        length: largest number of tokens to write.
        sample: number of this continuation among those of the same prompt.
        written: ids.
        log_prob: of the written tokens, in nats.
        has_ended: whether the continuation is complete.
    """

    prompt: list[int]
    length: int
    sample: int = 0
    written: list[int] = dataclasses.field(default_factory=list)
    log_prob: float = 0.0
    has_ended: bool = False

    def piece(self, max_length: int) -> tuple[list[int], int]:
        """Returns the next input of a model that reads max_length tokens at a time.

        The input is the whole text while it fits. A longer prompt is cut to its end. A text that
        has outgrown max_length continues from its last half.

        Returns:
            The ids to read, and the number of tokens that may be written after them.
        """
        read = self.prompt + self.written
        if self.written:
            read = read[-max(max_length // 2, 1) :]
        elif len(read) > max_length:
            # Room for two tokens before the text must be read again.
            read = read[-max(max_length - 1, 1) :]
        # The last written token is not read.
        room = max_length - len(read) + 1
        return read, min(room, self.length - len(self.written))

    def add(self, tokens: list[int], log_prob: float, end_ids: tuple[int, ...]) -> None:
        """Appends the tokens written for a piece, with their log-probability."""
        self.written += tokens
        self.log_prob += log_prob
        is_ended = not set(end_ids).isdisjoint(tokens)
        self.has_ended = is_ended or len(self.written) >= self.length


def piece_batches(
    texts: Iterable[Continuation], max_length: int, tokenizer: Tokenizer, hypotheses: int = 1
) -> Iterator[tuple[list[Continuation], SearchRows, int]]:
    """Batches the next piece of every text, the shortest first.

    Lengths and rows are powers of two, so that there are few shapes to compile. The lengths of a
    piece do not depend on the other pieces.

    Args:
        texts: to continue.
        max_length: tokens that the model reads at a time.
        tokenizer: with the ids of marks, which are never written.
        hypotheses: that the search keeps for each text.

    Yields:
        Some texts; their arrays, one row each, followed by rows that repeat the first one; and the
        largest number of tokens that a row may have to write.
    """

    def shape(text: Continuation) -> tuple[int, ...]:
        read, limit = text.piece(max_length)
        return padded_length(len(read), max_length), padded_length(limit, max_length)

    for (read, room), group in itertools.groupby(sorted(texts, key=shape), shape):
        rows = max(TOKENS_PER_BATCH // ((read + room) * hypotheses), 1)
        rows = 1 << rows.bit_length() - 1
        group = list(group)
        for start in range(0, len(group), rows):
            part = group[start : start + rows]
            yield part, _rows(part, read, max_length, tokenizer), room


def _rows(
    texts: list[Continuation], prompt_length: int, max_length: int, tokenizer: Tokenizer
) -> SearchRows:
    rows = 1 << (len(texts) - 1).bit_length()
    prompts = np.full((rows, prompt_length), tokenizer.pad_id, np.int32)
    # Rows that repeat the first piece end after one token.
    limits, lengths = np.ones(rows, np.int32), np.ones(rows, np.int32)
    padding = np.zeros(rows, np.int32)
    numbers = np.zeros((rows, 3), np.uint32)
    for row, text in enumerate(texts):
        read, limits[row] = text.piece(max_length)
        padding[row] = prompt_length - len(read)
        prompts[row, padding[row] :] = read
        lengths[row] = len(text.prompt) + len(text.written)
        numbers[row] = text_number(text.prompt), text.sample, len(text.written)
    prompts[len(texts) :], padding[len(texts) :] = prompts[0], padding[0]
    return SearchRows(prompts, limits, numbers, lengths, padding=padding)
