"""`flax-transformer classify`."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from flax_transformer.errors import UserError, check_number
from flax_transformer.line_batches import json_line, line_batches
from flax_transformer.models.model_config import ComputeType
from flax_transformer.tasks.classification.classifier import ROWS, Classifier, Prediction
from flax_transformer.training.assemble import Weights, load_for

INPUTS_AT_ONCE = 4 * ROWS  # read into memory


@dataclasses.dataclass(frozen=True)
class Classify:
    """Tell the classes of texts, images or videos, one line out for each."""

    inputs: Positional[tuple[str, ...]]
    """Texts, or files of images or videos, or folders of such files; the lines of standard input if
    there are none. The line of a file ends with its name."""
    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""
    top: int = 1
    """Classes to tell of each input, the most probable first, with their probabilities."""
    json: bool = False
    """Print a line of JSON for each input: its index, from 0, the text or the name of the file, and
    the probabilities of all classes."""
    batch_lines: int = 64
    """Maximum number of lines of standard input that are classified together; 1 answers each line
    at once. Fewer are taken if no more have arrived."""

    def run(self) -> None:
        """Prints the classes, and on standard error which inputs cannot be read."""
        check_number("--top", self.top)
        batches = line_batches(self.inputs, self.batch_lines)
        classifier = load_for("classify", self.workdir, self.weights, dtype=self.dtype)
        has_failed, index = False, 0
        for batch in batches:
            for value, answer in _answers(classifier, batch.texts):
                if isinstance(answer, UserError):
                    has_failed = True
                    print(f"error: {answer}", file=sys.stderr, flush=True)
                # A line of standard input always has its line of output.
                if batch.is_input or not isinstance(answer, UserError):
                    print(self._line(index, value, answer))
                index += 1
            sys.stdout.flush()
        if has_failed:
            sys.exit(2)  # as for any error of a user

    def _line(self, index: int, value: Any, answer: Prediction | UserError) -> str:
        """One line; without JSON the name of a file is its last column."""
        if self.json:
            return json_line(index, "" if isinstance(value, UserError) else str(value), answer)
        if isinstance(answer, UserError):
            return ""
        name = [" ".join(str(value).splitlines())] if isinstance(value, Path) else []
        ranked = list(answer.probabilities.items())[: self.top]
        return "\t".join([*(f"{label}\t{share:.4f}" for label, share in ranked), *name])


def _answers(
    classifier: Classifier, words: Sequence[str | UserError]
) -> Iterator[tuple[Any, Prediction | UserError]]:
    """Gives every input, with folders as their files, and its prediction or its error."""
    expanded = [value for word in words for value in _expand(classifier, word)]
    for start in range(0, len(expanded), INPUTS_AT_ONCE):
        values = expanded[start : start + INPUTS_AT_ONCE]
        readable = [value for value in values if not isinstance(value, UserError)]
        found = iter(classifier.classify_each(readable))
        for value in values:
            yield value, value if isinstance(value, UserError) else next(found)


def _expand(classifier: Classifier, word: str | UserError) -> list[Any]:
    try:
        return [word] if isinstance(word, UserError) else classifier.expand(word)
    except UserError as error:
        return [error]
