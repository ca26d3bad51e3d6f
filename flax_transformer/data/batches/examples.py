"""Labeled examples of any kind: inputs and the numbers of their classes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Shaped

from flax_transformer.data.batches.batches import padded_length
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import unknown

Taken = tuple[Shaped[np.ndarray, "rows ..."], Int32[np.ndarray, "rows length"] | None]


class TextInputs:
    """Tokenized texts, padded to a power of two, so that there are few shapes.

    Attributes:
        texts: any; what is longer than `max_length` is cut when it is taken.
        max_length: tokens of a text at most.
        lengths: of the texts once they are cut.
        num_cut: how many texts are longer.

    Example:
        >>> texts = TextInputs(TokenizedText.of([[5, 2], [7] * 20]), max_length=24)
        >>> texts.take(np.array([0]))[0].shape, texts.take(np.array([1, -1]))[0].shape
        ((1, 16), (2, 24))
    """

    def __init__(self, texts: TokenizedText, max_length: int):
        self.texts, self.max_length = texts, max_length
        lengths = texts.lengths
        self.lengths = np.minimum(lengths, max_length)
        self.num_cut = int(np.count_nonzero(lengths > max_length))

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: Int[np.ndarray, " rows"]) -> Taken:
        """Pads some texts on the right, and gives their segments; index -1 makes an empty row."""
        longest = int(self.lengths[indices[indices >= 0]].max(initial=1))
        return self.texts.pad(indices, padded_length(longest, self.max_length))

    def order(self, indices: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """Sorts indices, those of the shortest texts first."""
        return indices[np.argsort(self.lengths[indices], kind="stable")]


class ArrayInputs:
    """Images or videos of one size, which may lie in a file.

    Example:
        >>> ArrayInputs(np.array([[3], [4]])).take(np.array([1, -1]))[0].tolist()
        [[4], [0]]
    """

    def __init__(self, array: Shaped[np.ndarray, "examples ..."]):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def take(self, indices: Int[np.ndarray, " rows"]) -> Taken:
        """Copies some of them; index -1 makes a row of zeros."""
        taken = np.asarray(self.array[indices])
        taken[indices < 0] = 0
        return taken, None

    def order(self, indices: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        """Leaves indices as they are: all examples have one size."""
        return indices


Inputs = TextInputs | ArrayInputs


class Examples(NamedTuple):
    """Labeled examples.

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
