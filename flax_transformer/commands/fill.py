"""`flax-transformer fill`."""

import dataclasses
import json
from pathlib import Path

from tyro.conf import Positional

from flax_transformer.commands.translate import standard_input
from flax_transformer.errors import check_number
from flax_transformer.models.config import ComputeType
from flax_transformer.tasks.mask_filler import Filled
from flax_transformer.training.assemble import Weights, load_for


@dataclasses.dataclass(frozen=True)
class Fill:
    """Fill the gaps of texts, one line out for each."""

    texts: Positional[tuple[str, ...]]
    """Texts with [MASK] where a word is missing; the lines of standard input if there are none."""
    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""
    top: int | None = None
    """Words to tell of each gap after the text, the most probable first, with their
    probabilities; none if not given."""
    json: bool = False
    """Print a line of JSON for each text, with the words of each gap."""

    def run(self) -> None:
        """Prints the texts without gaps."""
        top = 5 if self.top is None else self.top
        check_number("top", top)
        filler = load_for("fill", self.workdir, self.weights, dtype=self.dtype)
        for texts in [list(self.texts)] if self.texts else standard_input():
            for filled in filler.fill(texts, top):
                print(self._line(filled), flush=True)

    def _line(self, filled: Filled) -> str:
        if self.json:
            return json.dumps(filled._asdict(), ensure_ascii=False)
        words = [] if self.top is None else [pair for gap in filled.gaps for pair in gap.items()]
        text = " ".join(filled.text.splitlines())
        return "\t".join([text, *(f"{word.strip()}\t{p:.4f}" for word, p in words)])
