"""`flax-transformer evaluate`."""

import dataclasses
import json
import sys
from pathlib import Path

from rich.console import Console
from tyro.conf import AvoidSubcommands, UseAppendAction

from flax_transformer.console import say, show_scores
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.models.config import ComputeType
from flax_transformer.training.assemble import Weights
from flax_transformer.training.evaluate import evaluate
from flax_transformer.training.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a trained model on a split of its data set."""

    workdir: Path
    """Folder of a training."""
    split: str | None = None
    """Split to score; the held-out one if not given."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""
    json: bool = False
    """Print the record as JSON."""
    decoding: UseAppendAction[AvoidSubcommands[DecodingConfig | None]] = DecodingConfig()

    def run(self) -> None:
        """Prints the scores, which are also kept in the workdir."""
        split = self.split
        if split is None:
            split = Workdir(self.workdir).load().data.held_out_split
        record, _ = evaluate(
            self.workdir,
            split,
            command=sys.argv,
            weights=self.weights,
            decoding=self.decoding,
            dtype=self.dtype,
        )
        if self.json:
            print(json.dumps(record.to_json(), indent=2, ensure_ascii=False))
        else:
            show_scores(Console(), record)
            say(Console(), f"kept in {Workdir(self.workdir).scores}")
