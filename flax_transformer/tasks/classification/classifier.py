"""A trained model that classifies texts, images or videos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Float, Int

from flax_transformer.data.batches.batch import NO_CLASS
from flax_transformer.data.batches.examples import ExampleBatches, Examples
from flax_transformer.errors import UserError
from flax_transformer.tasks.given_texts import warn_of_cut_texts
from flax_transformer.tasks.task import Fields, Variables
from flax_transformer.tasks.text_predictor import refuse_target
from flax_transformer.visualization.visible_text import arrow_title, isolated

# A text; or an image or a video for `read_images`: a path, a Pillow image or an array.
Input: TypeAlias = Any
ROWS = 64  # rows of a batch: enough to keep the processor busy


class Prediction(NamedTuple):
    """Prediction of a model for one input.

    Attributes:
        label: name of the most probable class.
        probabilities: of all classes by name, the most probable first.
    """

    label: str
    probabilities: dict[str, float]


class Classifier:
    """Classifies many inputs with a model that is loaded once.

    Attributes:
        task: the `ClassificationTask` of the model.
        model: its model.
        variables: its parameters and statistics.
        class_names: in the order of the class numbers.
        expand: gives the inputs that a command-line argument names.
    """

    def __init__(self, task: Any, variables: Variables):
        self.task, self.variables = task, variables
        self.model, self.class_names, self.expand = task.model, task.class_names, task.expand

    def classify(self, inputs: Input) -> list[Prediction]:
        """Predicts the class of each input.

        A text is cut after max_length tokens, with a `CutTextWarning`.

        Args:
            inputs: texts; or images or videos in a form that `read_images` accepts. A text, a path,
                or an image that is not in a list is one input.

        Raises:
            UserError: if an input cannot be read.
        """
        read = self.task.read(inputs)
        if not len(read):
            return []
        warn_of_cut_texts(read)
        labels = np.full(len(read), NO_CLASS, np.int32)
        probabilities, _ = self.predict(Examples(read, labels, self.class_names))
        return [_prediction(row, self.class_names) for row in probabilities]

    def classify_each(self, inputs: Sequence[Input]) -> list[Prediction | UserError]:
        """Returns the prediction for each input, or the error if it cannot be read.

        Args:
            inputs: see `classify`.
        """
        try:
            return [*self.classify(inputs)]
        except UserError as error:
            if len(inputs) == 1:
                return [error]
        middle = len(inputs) // 2
        return [*self.classify_each(inputs[:middle]), *self.classify_each(inputs[middle:])]

    def answer(self, example: Input) -> str:
        """Returns the class of an input and its probability."""
        (prediction,) = self.classify([example])
        probability = prediction.probabilities[prediction.label]
        return f"{isolated(prediction.label)} ({probability:.1%})"

    def attend(self, example: Input) -> Fields:
        """Computes the attention of the model while it classifies an input.

        `view_attention(**classifier.attend(example))` shows it.

        Args:
            example: a text, an image or a video; the title names the path of a file.

        Returns:
            The arguments of `view_attention`; the title names the class and its probability.

        Raises:
            UserError: if the input cannot be read or is longer than the model reads.
        """
        shown = self.task.attention(self.variables, example)
        about = f" - {shown['title']}" if "title" in shown else ""
        title = self.answer(example) + about
        if isinstance(example, str | Path):
            title = arrow_title(str(example), title)
        return shown | {"title": title}

    def given(self, example: Input, target: str | None = None) -> Fields:
        """Returns the arguments of the model for an image or a video; see `attend`."""
        refuse_target(target)
        examples = Examples(self.task.read([example]), np.zeros(1, np.int32), self.class_names)
        return self.task.given(ExampleBatches(examples, 1, seed=None)[0])

    def predict(
        self, examples: Examples
    ) -> tuple[Float[np.ndarray, "examples classes"], Float[np.ndarray, " examples"]]:
        """Returns the probabilities and the loss of every example, in order."""
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
        """Predicts batch by batch, as the probabilities of many classes may not fit into memory.

        Yields:
            The indices of some examples, their probabilities and losses.
        """
        batches = ExampleBatches(examples, min(ROWS, len(examples.inputs)), seed=None)
        for indices, batch in batches.epoch():
            probabilities, nll = jax.device_get(self.task.predict(self.variables, batch))
            is_filled = indices >= 0
            yield indices[is_filled], probabilities[is_filled], nll[is_filled]


def _prediction(probabilities: Float[np.ndarray, " classes"], names: tuple[str, ...]) -> Prediction:
    order = np.argsort(-probabilities, kind="stable")
    return Prediction(names[order[0]], {names[i]: float(probabilities[i]) for i in order.tolist()})
