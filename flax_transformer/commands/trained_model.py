"""Shared options of the commands that use a trained model."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, check_options
from flax_transformer.line_batches import (
    LineBatch,
    answer_lines,
    json_line,
    line_batches,
    parse_shard,
)
from flax_transformer.tasks.text_predictor import ScoredText
from flax_transformer.training.assemble import Weights, load_for
from flax_transformer.training.quantized_weights import UseType


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfWorkdir:
    """A trained model."""

    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """Weights to use: the mean of the last checkpoints, the checkpoint with the best validation
    score, or the last one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfModel(OfWorkdir):
    """A trained model, and how it computes."""

    dtype: UseType | None = None
    """Type of the computation; by default that of the training. On devices that support it,
    bfloat16 takes half the time or less for matrix products, with two to three significant digits.
    int8 rounds the weights of layers to 8 bits, for fast generation on a CPU."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfLines(OfModel):
    """A trained model that answers each line of standard input."""

    json: bool = False
    """Print a line of JSON for each input: its index (from 0), the input, and the whole output."""
    batch_lines: int = 1024
    """Maximum number of lines of standard input that are answered together. Lines that have arrived
    do not wait for more."""
    shard: str | None = None
    """I/N: answer only part I, from 0, of N contiguous parts of the lines of a file, which is
    standard input. The outputs of all parts, one after the other, are the output of the file."""

    def load(self, command: str, decoding: DecodingConfig | None = None) -> Any:
        """Loads the predictor of a command, and checks the shared options."""
        check_options(self, "batch_lines")
        parse_shard(self.shard)  # a wrong one is reported before the model is loaded
        return load_for(command, self.workdir, self.weights, decoding, self.dtype)

    def answer(self, given: Sequence[str], find: Callable[[list[str], int], Sequence[Any]]) -> None:
        """Prints the answers to the given texts, or to the lines of standard input.

        Args:
            given: texts of the command line.
            find: see `answer_lines`.
        """
        answer_lines(self.batches(given), find, self.write)

    def batches(self, given: Sequence[str]) -> Iterator[LineBatch]:
        """Yields the given texts, or the lines of standard input, or of its part."""
        return line_batches(given, self.batch_lines, parse_shard(self.shard))

    def write(self, index: int, text: Any, answer: Any) -> None:
        """Prints the answer to an input, or its error, as JSON or in the command's own format."""
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
        """Makes the line of an input that is bad or has no output."""
        return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfSearch(OfLines):
    """A trained model that searches for its answers."""

    seed: int = 0
    """Seed of sampling, with --decoding.method sample."""
    decoding: UseAppendAction[DecodingConfig] = DecodingConfig()

    def finding(self, num_best: int | None) -> DecodingConfig:
        """How to search for this number of outputs; None: the number that `decoding` says."""
        if num_best is None:
            return self.decoding
        return dataclasses.replace(self.decoding, num_best=num_best)

    def form_none(self, index: int) -> str:
        """Makes the lines of an empty output."""
        return self.form(index, "", [ScoredText("", -math.inf)])
