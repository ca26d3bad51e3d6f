"""A trained model that tells the classes of texts, images or videos."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from flax_transformer.data.batches.examples import NO_CLASS, Examples, Inputs, evaluation_batches
from flax_transformer.errors import UserError
from flax_transformer.tasks.classification.classification import Classification
from flax_transformer.tasks.cut_texts import warn_of_cut_texts
from flax_transformer.visualization.visible_text import arrow_title, isolated

ROWS = 64  # of a batch: enough to keep the processor busy


class Prediction(NamedTuple):
    """What a model says of one input.

    Attributes:
        label: name of the most probable class.
        probabilities: of all classes by name, the most probable first.
    """

    label: str
    probabilities: dict[str, float]


class Classifier:
    """Tells the classes of many inputs with a model that is loaded once.

    Attributes:
        objective: with the model.
        variables: its parameters and statistics.
        class_names: in the order of their numbers.
        expand: gives the inputs that a word of the command line names; see `Source`.
    """

    def __init__(
        self,
        objective: Classification,
        variables: Any,
        class_names: tuple[str, ...],
        read: Callable[[Any], Inputs],
        attend: Callable[[Any, Any, Any], dict[str, Any]],
        expand: Callable[[str], list[Any]] = lambda word: [word],
    ):
        self.objective, self.variables, self.class_names = objective, variables, class_names
        self._read, self._attend = read, attend
        self.expand = expand
        self._predict = jax.jit(objective.predict)

    def classify(self, inputs: Any) -> list[Prediction]:
        """Tells the class of each input.

        A text of more than max_length tokens is read up to there, with a `CutTextWarning`.

        Args:
            inputs: texts; or images or videos, as `read_images` reads them. A text, a path, or an
                image that is not in a list is one input.

        Raises:
            UserError: if an input cannot be read.
        """
        read = self._read(inputs)
        if not len(read):
            return []
        warn_of_cut_texts(read)
        labels = np.full(len(read), NO_CLASS, np.int32)
        probabilities, _ = self.predict(Examples(read, labels, self.class_names))
        return [_prediction(row, self.class_names) for row in probabilities]

    def classify_each(self, inputs: Sequence[Any]) -> list[Prediction | UserError]:
        """Gives the prediction for each input, or the error if it cannot be read.

        Args:
            inputs: as of `classify`.
        """
        try:
            return [*self.classify(inputs)]
        except UserError:
            errors = [self._error(value) for value in inputs]
        good = [value for value, error in zip(inputs, errors, strict=True) if error is None]
        predictions = iter(self.classify(good))
        return [next(predictions) if error is None else error for error in errors]

    def attend(self, example: Any) -> dict[str, Any]:
        """Computes where the model looks as it tells the class of an input.

        `view_attention(**classifier.attend(example))` shows it.

        Args:
            example: a text, an image or a video; the title names the path of a file.

        Returns:
            The arguments of `view_attention`; the title names the class and its probability.

        Raises:
            UserError: if the input cannot be read or is longer than the model reads, or the
                model's attention is cuDNN's, which never holds the weights.
        """
        shown = self._attend(self.objective.model, self.variables, example)
        (prediction,) = self.classify([example])
        told = f"{isolated(prediction.label)} ({prediction.probabilities[prediction.label]:.1%})"
        about = f" - {shown['title']}" if "title" in shown else ""
        title = told + about
        if isinstance(example, str | Path):
            title = arrow_title(str(example), title)
        return shown | {"title": title}

    def _error(self, value: Any) -> UserError | None:
        try:
            self._read([value])
        except UserError as error:
            return error
        return None

    def predict(
        self, examples: Examples
    ) -> tuple[Float[np.ndarray, "examples classes"], Float[np.ndarray, " examples"]]:
        """Gives what `Classification.predict` does of every example, in their order."""
        probabilities = np.zeros((len(examples.inputs), len(self.class_names)), np.float32)
        nll = np.zeros(len(examples.inputs), np.float32)
        for indices, *found in self.predict_batches(examples):
            probabilities[indices], nll[indices] = found
        return probabilities, nll

    def predict_batches(
        self, examples: Examples
    ) -> Iterator[
        tuple[
            Int[np.ndarray, " rows"],
            Float[np.ndarray, "rows classes"],
            Float[np.ndarray, " rows"],
        ]
    ]:
        """Predicts batch by batch: the probabilities of many classes do not fit into memory.

        Yields:
            The indices of some examples, and what `Classification.predict` gives of them.
        """
        for indices, batch in evaluation_batches(examples, min(ROWS, len(examples.inputs))):
            found = jax.device_get(self._predict(self.variables, batch))
            is_filled = indices >= 0
            yield indices[is_filled], found.probabilities[is_filled], found.nll[is_filled]


def _prediction(probabilities: Float[np.ndarray, " classes"], names: tuple[str, ...]) -> Prediction:
    order = np.argsort(-probabilities, kind="stable")
    return Prediction(names[order[0]], {names[i]: float(probabilities[i]) for i in order.tolist()})
