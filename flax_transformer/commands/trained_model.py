"""The options that commands share which use a trained model."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, check_options
from flax_transformer.line_batches import answer_lines, json_line, line_batches
from flax_transformer.modules.layer_options import ComputeType
from flax_transformer.tasks.text_predictor import ScoredText
from flax_transformer.training.assemble import Weights, load_for


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfWorkdir:
    """A trained model."""

    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfModel(OfWorkdir):
    """A trained model, and how it computes."""

    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfLines(OfModel):
    """A trained model that answers each line of standard input."""

    json: bool = False
    """Print a line of JSON for each input: its index, from 0, the input, and all that was found for
    it."""
    batch_lines: int = 1024
    """Maximum number of lines of standard input that are answered together; 1 answers each line at
    once. Fewer are taken if no more have arrived."""

    def load(self, command: str, decoding: DecodingConfig | None = None) -> Any:
        """Loads the predictor that a command is for, and checks the options of all."""
        check_options(self, "batch_lines")
        return load_for(command, self.workdir, self.weights, decoding, self.dtype)

    def answer(self, given: Sequence[str], find: Callable[[list[str], int], Sequence[Any]]) -> None:
        """Prints the answers of the texts given, or of the lines of standard input.

        Args:
            given: texts of the command line.
            find: see `answer_lines`.
        """
        answer_lines(line_batches(given, self.batch_lines), find, self.write)

    def write(self, index: int, text: Any, answer: Any) -> None:
        """Prints the answer of an input, or its error, as JSON or in the command's own form."""
        if self.json:
            print(json_line(index, "" if isinstance(text, UserError) else str(text), answer))
        elif isinstance(answer, UserError) or not answer:
            print(self.form_none(index))
        else:
            print(self.form(index, text, answer))

    def form(self, index: int, text: Any, answer: Any) -> str:
        """Makes the lines of an answer."""
        raise NotImplementedError

    def form_none(self, index: int) -> str:
        """Makes the line of an input that is bad or for which nothing was found."""
        return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfSearch(OfLines):
    """A trained model that searches for its answers."""

    seed: int = 0
    """Of sampling, with --decoding.method sample."""
    decoding: UseAppendAction[DecodingConfig] = DecodingConfig()

    def finding(self, num_best: int | None) -> DecodingConfig:
        """How to search for so many outputs; None: for as many as `decoding` says."""
        if num_best is None:
            return self.decoding
        return dataclasses.replace(self.decoding, num_best=num_best)

    def form_none(self, index: int) -> str:
        """Makes the lines of one empty output."""
        return self.form(index, "", [ScoredText("", -math.inf)])
