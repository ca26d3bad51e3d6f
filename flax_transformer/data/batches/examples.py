"""Labeled examples of any kind: inputs, class numbers, and their batches."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Shaped

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.data.batches.batches import (
    Batches,
    Group,
    in_rows,
    padded_length,
)
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import UserError, unknown

SORTED_BATCHES = 50  # sorted together, so that the texts of a batch have similar lengths
Taken = tuple[Shaped[np.ndarray, "rows ..."], Int32[np.ndarray, "rows length"] | None]


class TextInputs:
    """Tokenized texts, padded to a power of two, so that few shapes are compiled.

    Attributes:
        texts: the tokenized texts; texts longer than `max_length` are cut when they are read.
        max_length: maximum tokens of a text.
        lengths: number of tokens of each text after cutting.
        num_cut: number of texts that are cut.

    Example:
        >>> texts = TextInputs(TokenizedText.of([[5, 2], [7] * 20]), max_length=24)
        >>> texts.take(np.array([0]))[0].shape, texts.take(np.array([1, -1]))[0].shape
        ((1, 16), (2, 24))
    """

    def __init__(self, texts: TokenizedText, max_length: int):
        self.texts, self.max_length = texts, max_length
        self.lengths = np.minimum(texts.lengths, max_length)
        self.num_cut = int(np.count_nonzero(texts.lengths > max_length))

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: Int[np.ndarray, " rows"]) -> Taken:
        """Pads texts on the right; also returns their segments. Index -1 is an empty row."""
        longest = int(self.lengths[indices[indices >= 0]].max(initial=1))
        return self.texts.pad(indices, padded_length(longest, self.max_length))

    def order(self, indices: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """Sorts indices by text length, the shortest first."""
        return indices[np.argsort(self.lengths[indices], kind="stable")]


class ArrayInputs:
    """Images or videos of one size; the array may be memory-mapped.

    Example:
        >>> ArrayInputs(np.array([[3], [4]])).take(np.array([1, -1]))[0].tolist()
        [[4], [0]]
    """

    def __init__(self, array: Shaped[np.ndarray, "examples ..."]):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def take(self, indices: Int[np.ndarray, " rows"]) -> Taken:
        """Copies some of the arrays; index -1 is a row of zeros."""
        taken = np.asarray(self.array[indices])
        taken[indices < 0] = 0
        return taken, None

    def order(self, indices: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """Returns the indices unchanged: all examples have one size."""
        return indices


Inputs = TextInputs | ArrayInputs


class Examples(NamedTuple):
    """Labeled examples.

    Attributes:
        inputs: texts, images or videos.
        labels: class number of each example.
        class_names: in the order of the numbers; empty if all examples have class 0.
    """

    inputs: Inputs
    labels: Int[np.ndarray, " examples"]
    class_names: tuple[str, ...] = ()

    def numbered_as(self, class_names: tuple[str, ...]) -> "Examples":
        """Returns the same examples with the class numbers of another list of classes.

        Args:
            class_names: in the order of the new numbers.

        Raises:
            UserError: if a class is missing from them.

        Example:
            >>> examples = Examples(ArrayInputs(np.zeros(3)), np.array([0, 1, 1]), ("10", "2"))
            >>> examples.numbered_as(("2", "10")).labels.tolist()
            [1, 0, 0]
        """
        numbers = {name: number for number, name in enumerate(class_names)}
        for name in self.class_names:
            if name not in numbers:
                raise unknown("class", name, class_names)
        new = np.array([numbers[name] for name in self.class_names])
        return Examples(self.inputs, new[self.labels], class_names)


class ExampleBatches(Batches):
    """Batches of a fixed number of labeled examples; rows without a class fill the last one.

    Args:
        examples: of any kind.
        batch_size: rows of every batch.
        seed: seed of the shuffling; None for evaluation.

    Raises:
        UserError: if no training example is given.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        *,
        seed: int | None = 0,
    ):
        if not len(examples.inputs) and seed is not None:
            raise UserError("the training split has no example: give another one")
        self._examples, self._batch_size = examples, batch_size
        super().__init__(-(-len(examples.inputs) // batch_size), seed)

    def plan(self, rng: np.random.Generator | None) -> list[Group]:
        """Chooses the examples of every batch: texts of similar lengths."""
        order, number = self._examples.inputs.order, len(self._examples.inputs)
        if rng is None:
            rows = in_rows(order(np.arange(number)), self._batch_size)
        else:
            indices, size = rng.permutation(number), SORTED_BATCHES * self._batch_size
            parts = [order(indices[start : start + size]) for start in range(0, number, size)]
            rows = rng.permutation(in_rows(np.concatenate(parts), self._batch_size))
        return list(map(Group, rows))

    def make(self, indices: Int[np.ndarray, " rows"], form: Any) -> LabeledBatch:
        """Builds a batch of some examples."""
        inputs, segments = self._examples.inputs.take(indices)
        labels = np.where(indices < 0, NO_CLASS, self._examples.labels[indices])
        return LabeledBatch(inputs, labels.astype(np.int32), segments)

    def describe(self, devices: str) -> list[str]:
        """Describes an epoch."""
        names = self._examples.class_names
        classes = f" of {len(names)} classes" if names else ""
        return [
            f"{len(self._examples.inputs):,} examples{classes}; "
            f"{self.batches_per_epoch:,} updates an epoch",
            f"{self._batch_size} examples an update over {devices}",
        ]
