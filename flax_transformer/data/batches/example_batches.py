"""Batches of labeled examples of any kind."""

from typing import Any

import numpy as np
from jaxtyping import Int

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.data.batches.batches import Batches, Group, check_batch_size, in_rows
from flax_transformer.data.batches.examples import Examples
from flax_transformer.errors import UserError

SORTED_BATCHES = 50  # whose texts are sorted together, so that a batch's are about equally long


class ExampleBatches(Batches):
    """Batches of equally many labeled examples; rows without a class fill an epoch's last one.

    Args:
        examples: of any kind.
        batch_size: rows of every batch.
        rows_multiple: what the rows of a batch divide by, such as the number of devices.
        seed: of the shuffling; None to evaluate.

    Raises:
        UserError: if there is no example to train on, or batch_size is not a multiple of
            rows_multiple.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        rows_multiple: int = 1,
        seed: int | None = 0,
    ):
        check_batch_size(batch_size, rows_multiple)
        if not len(examples.inputs) and seed is not None:
            raise UserError("the training split has no example: give another one")
        self._examples, self._batch_size = examples, batch_size
        super().__init__(-(-len(examples.inputs) // batch_size), seed)

    def plan(self, rng: np.random.Generator | None) -> list[Group]:
        """Chooses the examples of every batch: texts of about one length."""
        order, number = self._examples.inputs.order, len(self._examples.inputs)
        if rng is None:
            rows = in_rows(order(np.arange(number)), self._batch_size)
        else:
            indices, size = rng.permutation(number), SORTED_BATCHES * self._batch_size
            parts = [order(indices[start : start + size]) for start in range(0, number, size)]
            rows = rng.permutation(in_rows(np.concatenate(parts), self._batch_size))
        return list(map(Group, rows))

    def make(self, indices: Int[np.ndarray, " rows"], form: Any) -> LabeledBatch:
        """Takes some examples."""
        inputs, segments = self._examples.inputs.take(indices)
        labels = np.where(indices < 0, NO_CLASS, self._examples.labels[indices])
        return LabeledBatch(inputs, labels.astype(np.int32), segments)

    def describe(self, devices: str) -> list[str]:
        """Says what an epoch holds."""
        names = self._examples.class_names
        classes = f" of {len(names)} classes" if names else ""
        return [
            f"{len(self._examples.inputs):,} examples{classes}; "
            f"{self.batches_per_epoch:,} updates an epoch",
            f"{self._batch_size} examples an update over {devices}",
        ]
