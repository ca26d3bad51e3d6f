"""The packing of the Flax repository's translation example, without its need of TensorFlow.

The same algorithm in NumPy: pairs join a row in their order until one does not fit on a side; then
the next row begins. A new row also begins after every `length` pairs, as the example packs in
groups of that many.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText

Row = list[int]


def fill_rows(pairs: TokenizedPairs, order: Iterable[int], length: int) -> list[Row]:
    """Assigns pairs to rows; no pair may be longer than a row.

    Args:
        pairs: tokenized sentences.
        order: numbers of the pairs, in the order of packing.
        length: tokens of a row on either side.

    Returns:
        The numbers of the pairs in each row.
    """
    lengths = np.stack([pairs.source.lengths, pairs.target.lengths], axis=1)
    rows: list[Row] = []
    used = np.zeros(2, np.int64)
    for place, pair in enumerate(order):
        used = used + lengths[pair]
        if place % length == 0 or used.max() > length:
            rows.append([])
            used = lengths[pair]
        rows[-1].append(pair)
    return rows


def packed_batches(
    pairs: TokenizedPairs, order: Iterable[int], num_rows: int, length: int
) -> list[dict[str, Int[np.ndarray, "rows length"]]]:
    """Packs an epoch into batches of equally many rows; drops rows that do not fill a batch."""
    rows = fill_rows(pairs, order, length)
    starts = range(0, len(rows) - num_rows + 1, num_rows)
    return [packed_batch(pairs, rows[start : start + num_rows], length) for start in starts]


def packed_batch(
    pairs: TokenizedPairs, rows: Sequence[Row], length: int
) -> dict[str, Int[np.ndarray, "rows length"]]:
    """Makes the batch of some rows, with the names that the example's step reads.

    Args:
        pairs: tokenized sentences.
        rows: numbers of the pairs in each row.
        length: tokens of a row on either side.

    Returns:
        The tokens of both sides; the number (from 1) of each token's pair in its row; and the
        position of each token in its sentence. Padding is 0 in all of them.
    """
    batch = {}
    for name, text in (("inputs", pairs.source), ("targets", pairs.target)):
        packed = np.zeros((3, len(rows), length), np.int32)
        for number, row in enumerate(rows):
            tokens = _side(text, row)
            packed[:, number, : tokens.shape[1]] = tokens
        batch |= dict(zip((name, f"{name}_segmentation", f"{name}_position"), packed, strict=True))
    return batch


def _side(text: TokenizedText, row: Row) -> np.ndarray:
    """The concatenated tokens, segments and positions of the sentences of a row."""
    lengths = text.lengths[row]
    tokens = text.select(np.array(row)).tokens
    segments = np.repeat(np.arange(1, len(row) + 1), lengths)
    positions = np.concatenate([np.arange(length) for length in lengths])
    return np.stack([tokens, segments, positions])
