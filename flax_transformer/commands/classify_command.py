"""`flax-transformer classify`."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.errors import UserError, check_options
from flax_transformer.tasks.classification.classifier import ROWS, Classifier, Prediction

INPUTS_AT_ONCE = 4 * ROWS  # inputs in memory at once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classify(OfLines):
    """Print the classes of texts, images or videos, one line for each."""

    inputs: Positional[tuple[str, ...]]
    """Texts, image or video files, or folders of such files; by default the lines of standard
    input. The output line of a file ends with its name."""
    top: int = 1
    """Number of classes to print for each input, the most probable first, with their
    probabilities."""
    batch_lines: int = 64

    def run(self) -> None:
        """Prints the classes, and reports unreadable inputs on standard error."""
        check_options(self, "top")
        classifier = self.load("classify")
        has_failed, index = False, 0
        for batch in self.batches(self.inputs):
            index = max(index, batch.first)  # the first is above 0 in a part of a file
            for value, answer in _answers(classifier, batch.texts):
                if isinstance(answer, UserError):
                    has_failed = True
                    print(f"error: {answer}", file=sys.stderr, flush=True)
                # Every line of standard input has a line of output.
                if batch.is_input or not isinstance(answer, UserError):
                    self.write(index, value, answer)
                index += 1
            sys.stdout.flush()
        if has_failed:
            sys.exit(2)  # same as for any user error

    def form(self, index: int, text: Any, answer: Prediction) -> str:
        """The classes; for a file, its name is the last column."""
        name = [" ".join(str(text).splitlines())] if isinstance(text, Path) else []
        ranked = list(answer.probabilities.items())[: self.top]
        return "\t".join([*(f"{label}\t{share:.4f}" for label, share in ranked), *name])


def _answers(
    classifier: Classifier, words: Sequence[str | UserError]
) -> Iterator[tuple[Any, Prediction | UserError]]:
    """Yields every input with its prediction or error; a folder gives its files."""
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
