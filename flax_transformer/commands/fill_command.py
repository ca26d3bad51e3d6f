"""`flax-transformer fill`."""

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from flax_transformer.errors import UserError, check_number
from flax_transformer.line_batches import answer_lines, json_line, line_batches
from flax_transformer.models.model_config import ComputeType
from flax_transformer.tasks.masked_language_modeling.mask_filler import Filled
from flax_transformer.training.assemble import Weights, load_for


@dataclasses.dataclass(frozen=True)
class Fill:
    """Fill the gaps of texts, or of the lines of standard input, one line out for each."""

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
    """Print a line of JSON for each text: its index, from 0, the input, the text without gaps, and
    the words of each gap."""
    batch_lines: int = 64
    """Maximum number of lines of standard input that are filled together; 1 answers each line at
    once. Fewer are taken if no more have arrived."""

    def run(self) -> None:
        """Prints the texts without gaps."""
        top = 5 if self.top is None else self.top
        check_number("--top", top)
        batches = line_batches(self.texts, self.batch_lines)
        filler = load_for("fill", self.workdir, self.weights, dtype=self.dtype)

        def fill(texts: list[str], number: int) -> list[Filled]:
            return filler.fill(texts, top, first_line=number)

        answer_lines(batches, fill, self._write)

    def _write(self, index: int, text: str, filled: Filled | UserError) -> None:
        print(json_line(index, text, filled) if self.json else self._line(filled))

    def _line(self, filled: Filled | UserError) -> str:
        if isinstance(filled, UserError):
            return ""
        words = [] if self.top is None else [pair for gap in filled.gaps for pair in gap.items()]
        text = " ".join(filled.text.splitlines())
        return "\t".join([text, *(f"{word.strip()}\t{p:.4f}" for word, p in words)])
