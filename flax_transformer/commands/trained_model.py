"""The options that commands share which use a trained model."""

import dataclasses
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.line_batches import json_line
from flax_transformer.modules.layer_options import ComputeType
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

    def load(self, command: str, decoding: DecodingConfig | None = None) -> Any:
        """Loads the predictor that a command is for."""
        return load_for(command, self.workdir, self.weights, decoding, self.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfLines(OfModel):
    """A trained model that answers each line of standard input."""

    json: bool = False
    """Print a line of JSON for each input: its index, from 0, the input, and all that was found for
    it."""
    batch_lines: int = 1024
    """Maximum number of lines of standard input that are answered together; 1 answers each line at
    once. Fewer are taken if no more have arrived."""

    def write(self, index: int, text: Any, answer: Any) -> None:
        """Prints the answer of an input, or its error, as JSON or in the command's own form."""
        shown = "" if isinstance(text, UserError) else str(text)
        print(json_line(index, shown, answer) if self.json else self.form(index, text, answer))

    def form(self, index: int, text: Any, answer: Any | UserError) -> str:
        """Makes the lines of an answer; one that is empty if there is none."""
        raise NotImplementedError


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
