"""Pieces of one stream of tokens, for training and evaluation."""

import numpy as np
from jaxtyping import Int, Int32

from flax_transformer.data.batches.batch import TextBatch
from flax_transformer.data.batches.batches import Batches, Group, in_rows
from flax_transformer.errors import UserError


class WindowBatches(Batches):
    """Batches of equally long pieces of a token stream.

    In training, every epoch cuts the stream into pieces from a new random start, and shuffles them.
    Nearly every token is therefore predicted once an epoch, each time with a different context. In
    evaluation, every token except the first is predicted once, and padding fills the last piece.

    Args:
        stream: tokens of all documents, end to end.
        length: tokens that the model reads at a time.
        batch_size: rows of every batch.
        seed: seed of the starts and of the shuffling; None for evaluation.

    Raises:
        UserError: if the stream is too short for one training batch.

    Example:
        >>> stream = np.arange(3, 60, dtype=np.int32)
        >>> batches = WindowBatches(stream, length=5, batch_size=4)
        >>> batches[7].tokens.shape, batches.batches_per_epoch
        ((4, 6), 2)
        >>> [(rows, batch)] = WindowBatches(stream[:6], 3, batch_size=2, seed=None).epoch()
        >>> rows.tolist(), batch.tokens.tolist()
        ([0, 1], [[3, 4, 5, 6], [6, 7, 8, 0]])
    """

    def __init__(
        self,
        stream: Int32[np.ndarray, " total"],
        length: int,
        batch_size: int,
        *,
        seed: int | None = 0,
    ):
        self._stream, self._length, self._batch_size = stream, length, batch_size
        self._num_pieces = -(-(len(stream) - 1) // length)
        num_batches = -(-self._num_pieces // batch_size)
        if seed is not None:
            # Counted from the latest start; each piece also needs the token after it.
            num_batches = (len(stream) - length) // length // batch_size
            if not num_batches:
                raise UserError(
                    f"the text has {len(stream):,} tokens, which do not fill a batch of "
                    f"{batch_size} pieces of {length} tokens: give more text, or lower "
                    "--data.batch-size or --data.max-length"
                )
        super().__init__(num_batches, seed)

    def plan(self, rng: np.random.Generator | None) -> list[Group]:
        """Chooses the pieces of every batch; the form is the start of the first piece."""
        first, pieces = 0, np.arange(self._num_pieces)
        if rng is not None:
            first = int(rng.integers(self._length))
            num_pieces = len(range(first, len(self._stream) - self._length, self._length))
            pieces = rng.permutation(num_pieces)[: self.batches_per_epoch * self._batch_size]
        return [Group(rows, first) for rows in in_rows(pieces, self._batch_size)]

    def make(self, indices: Int[np.ndarray, " rows"], form: int) -> TextBatch:
        """Cuts pieces out of the stream."""
        places = form + self._length * indices[:, None] + np.arange(self._length + 1)
        is_token = (indices[:, None] >= 0) & (places < len(self._stream))
        tokens = self._stream[np.where(is_token, places, 0)]
        return TextBatch(np.where(is_token, tokens, 0).astype(np.int32), is_token.astype(np.int32))

    def describe(self, devices: str) -> list[str]:
        """Describes an epoch."""
        return [
            f"{len(self._stream):,} tokens; {self.batches_per_epoch:,} updates an epoch",
            f"{self._batch_size * self._length:,} tokens an update over {devices}: "
            f"{self._batch_size} pieces of {self._length}",
        ]
