"""`flax-transformer fill`."""

import dataclasses
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.errors import check_options
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
        check_options(self, "top")
        top = self.top or 5  # words of each gap, which JSON always shows
        filler = self.load("fill")
        self.answer(self.texts, lambda texts, first: filler.fill(texts, top, first_line=first))

    def form(self, index: int, text: Any, answer: Filled) -> str:
        """The text, and the words of its gaps if they are asked for."""
        words = [] if self.top is None else [pair for gap in answer.gaps for pair in gap.items()]
        filled = " ".join(answer.text.splitlines())
        return "\t".join([filled, *(f"{word.strip()}\t{p:.4f}" for word, p in words)])
