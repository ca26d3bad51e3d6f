"""`flax-transformer classify`."""

import dataclasses
import json
import sys
from pathlib import Path

from tyro.conf import Positional

from flax_transformer.errors import check_number
from flax_transformer.line_batches import line_batches
from flax_transformer.models.config import ComputeType
from flax_transformer.tasks.classifier import Prediction
from flax_transformer.training.assemble import Weights, load_for


@dataclasses.dataclass(frozen=True)
class Classify:
    """Tell the classes of texts, images or videos, one line out for each."""

    inputs: Positional[tuple[str, ...]]
    """Texts, or files of images or videos; the lines of standard input if there are none."""
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
    """Print a line of JSON for each input, with the probabilities of all classes."""
    batch_lines: int = 64
    """Lines of standard input that are classified together at most; 1 answers each line at once.
    Fewer are taken where no more have arrived."""

    def run(self) -> None:
        """Prints the classes."""
        check_number("top", self.top)
        batches = line_batches(self.inputs, self.batch_lines)
        classifier = load_for("classify", self.workdir, self.weights, dtype=self.dtype)
        for batch in batches:
            for prediction in classifier.classify(batch.texts):
                print(self._line(prediction))
            sys.stdout.flush()

    def _line(self, prediction: Prediction) -> str:
        if self.json:
            return json.dumps(prediction._asdict(), ensure_ascii=False)
        ranked = list(prediction.probabilities.items())[: self.top]
        return "\t".join(f"{name}\t{probability:.4f}" for name, probability in ranked)
