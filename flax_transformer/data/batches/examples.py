"""Labelled examples of any kind: inputs, the numbers of their classes, and batches of both."""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Int32, Shaped

from flax_transformer.data.batches.shuffled_rows import ShuffledRows
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import UserError, unknown

MIN_LENGTH = 16  # of a batch of texts; shorter ones save nothing worth compiling for
SORTED_BATCHES = 50  # whose texts are sorted together, so that a batch's are about equally long
NO_CLASS = -1  # of a row that only fills a batch


@runtime_checkable
class Inputs(Protocol):
    """What classes are told of."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> Any:
        """Makes the array of a batch; index -1 makes a row of zeros."""
        ...

    def order(self, indices: np.ndarray) -> np.ndarray:
        """Sorts indices so that neighbours need arrays of about the same size."""
        ...


class TextInputs:
    """Tokenised texts, padded to a power of two, so that there are few shapes.

    Attributes:
        texts: none of them longer than `max_length`.
        max_length: tokens of a text at most.
        num_cut: how many texts were longer.

    Example:
        >>> texts = TextInputs(TokenizedText.of([[5, 2], [7] * 20]), max_length=24)
        >>> texts.take(np.array([0])).shape, texts.take(np.array([1, -1])).shape
        ((1, 16), (2, 24))
    """

    def __init__(self, texts: TokenizedText, max_length: int):
        self.texts, self.max_length = texts.cut(max_length), max_length
        self.num_cut = int(np.count_nonzero(texts.lengths > max_length))

    def __len__(self) -> int:
        return len(self.texts.lengths)

    def take(self, indices: Int[np.ndarray, " rows"]) -> Any:
        """Pads some texts on the right."""
        longest = int(self.texts.lengths[indices[indices >= 0]].max(initial=1))
        length = max(MIN_LENGTH, 1 << (longest - 1).bit_length())
        array = self.texts.pad(indices, min(length, self.max_length))
        live = np.where(indices >= 0, self.texts.lengths[indices], 0)
        return array, (np.arange(array.shape[1]) < live[:, None]).astype(np.int32)

    def order(self, indices: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """The shortest first."""
        return indices[np.argsort(self.texts.lengths[indices], kind="stable")]


class ArrayInputs:
    """Images or videos of one size, which may lie in a file.

    Example:
        >>> ArrayInputs(np.array([[3], [4]])).take(np.array([1, -1])).tolist()
        [[4], [0]]
    """

    def __init__(self, array: Shaped[np.ndarray, "examples ..."]):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def take(self, indices: Int[np.ndarray, " rows"]) -> Any:
        """Copies some of them."""
        taken = np.asarray(self.array[indices])
        taken[indices < 0] = 0
        return taken, None

    def order(self, indices: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """All are of one size."""
        return indices


class Examples(NamedTuple):
    """Labelled examples.

    Attributes:
        inputs: texts, images or videos.
        labels: number of each one's class.
        class_names: in the order of the numbers; none of examples that are all of class 0.
    """

    inputs: Inputs
    labels: Int[np.ndarray, " examples"]
    class_names: tuple[str, ...] = ()

    def numbered_as(self, class_names: tuple[str, ...]) -> "Examples":
        """Gives the same examples with the numbers that their classes have elsewhere.

        Args:
            class_names: in the order of those numbers.

        Raises:
            UserError: if a class is not among them.

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


class LabelledBatch(NamedTuple):
    """Some inputs and their classes.

    Attributes:
        inputs: [rows, ...]: token ids, or pixels.
        labels: number of each one's class, -1 of a row that only fills the batch.
    """

    inputs: Shaped[np.ndarray, "rows ..."]
    labels: Int32[np.ndarray, " rows"]
    segments: Any = None

    def count(self) -> int:
        """Number of examples."""
        return int(np.count_nonzero(self.labels != NO_CLASS))

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        rows, *shape = self.inputs.shape
        return f"{rows:,} rows of {' x '.join(map(str, shape))}"


class LabelledBatches:
    """The batch of every training step: `batches[step]` for step 0, 1, 2, ... without end.

    Every epoch holds every example once, shuffled by (seed, epoch), so the batch of a step depends
    on nothing else; the last one of an epoch is filled up with rows without a class.

    Args:
        examples: to train on.
        batch_size: rows of every batch.
        rows_multiple: what the rows of a batch divide by, such as the number of devices.
        seed: of the shuffling.

    Raises:
        UserError: if there is no example, or batch_size is no multiple of rows_multiple.
    """

    def __init__(self, examples: Examples, batch_size: int, rows_multiple: int = 1, seed: int = 0):
        if not len(examples.inputs):
            raise UserError("the training split has no example: give another one")
        self._examples = examples
        num_batches = -(-len(examples.inputs) // batch_size)
        self._rows = ShuffledRows(self._shuffled, num_batches, batch_size, rows_multiple, seed)
        self.batches_per_epoch = num_batches

    def __getitem__(self, step: int) -> LabelledBatch:
        return _batch(self._examples, self._rows[step])

    def shard(self, process_index: int, process_count: int) -> "LabelledBatches":
        """Gives the batches of one process; see `ShuffledRows`."""
        part = copy.copy(self)
        part._rows = self._rows.shard(process_index, process_count)
        return part

    def describe(self, devices: str) -> list[str]:
        """Says what an epoch holds."""
        examples = self._examples
        classes = f" of {len(examples.class_names)} classes" if examples.class_names else ""
        return [
            f"{len(examples.inputs):,} examples{classes}; "
            f"{self.batches_per_epoch:,} updates an epoch",
            f"{self._rows.batch_size} examples an update over {devices}",
        ]

    def _shuffled(self, rng: np.random.Generator) -> Int[np.ndarray, "batches rows"]:
        indices = rng.permutation(len(self._examples.inputs))
        rows = self._rows.batch_size
        size = SORTED_BATCHES * rows
        parts = [indices[i : i + size] for i in range(0, len(indices), size)]
        ordered = np.concatenate([self._examples.inputs.order(part) for part in parts])
        return rng.permutation(_rows_of(ordered, rows))


def evaluation_batches(
    examples: Examples, batch_size: int
) -> Iterator[tuple[Int[np.ndarray, " rows"], LabelledBatch]]:
    """Gives every example once.

    Args:
        examples: to score.
        batch_size: rows of every batch.

    Yields:
        Which example stands in each row, -1 for an empty row, and the batch.
    """
    order = examples.inputs.order(np.arange(len(examples.inputs)))
    for indices in _rows_of(order, batch_size):
        yield indices, _batch(examples, indices)


def _rows_of(indices: np.ndarray, rows: int) -> Int[np.ndarray, "batches rows"]:
    filled = np.pad(indices, (0, -len(indices) % rows), constant_values=-1)
    return filled.reshape(-1, rows)


def _batch(examples: Examples, indices: Any) -> LabelledBatch:
    labels = np.where(indices < 0, NO_CLASS, examples.labels[indices]).astype(np.int32)
    array, segments = examples.inputs.take(indices)
    return LabelledBatch(array, labels, segments)
