"""`flax-transformer fill`."""

import dataclasses
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.errors import UserError, check_number
from flax_transformer.line_batches import answer_lines, line_batches
from flax_transformer.tasks.masked_language_modeling.mask_filler import Filled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fill(OfLines):
    """Fill the gaps of texts, or of the lines of standard input, one line out for each."""

    texts: Positional[tuple[str, ...]]
    """Texts with [MASK] where a word is missing; the lines of standard input if there are none."""
    top: int | None = None
    """Words to print for each gap after the text, the most probable first, with their
    probabilities; none if not given."""
    batch_lines: int = 64

    def run(self) -> None:
        """Prints the texts without gaps."""
        top = 5 if self.top is None else self.top
        check_number("--top", top)
        batches = line_batches(self.texts, self.batch_lines)
        filler = self.load("fill")
        answer_lines(batches, lambda texts, n: filler.fill(texts, top, first_line=n), self.write)

    def form(self, index: int, text: Any, answer: Filled | UserError) -> str:
        """The text, and the words of its gaps if they are asked for."""
        if isinstance(answer, UserError):
            return ""
        words = [] if self.top is None else [pair for gap in answer.gaps for pair in gap.items()]
        filled = " ".join(answer.text.splitlines())
        return "\t".join([filled, *(f"{word.strip()}\t{p:.4f}" for word, p in words)])
