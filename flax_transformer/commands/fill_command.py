"""`flax-transformer fill`."""

import dataclasses
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.errors import check_options
from flax_transformer.tasks.masked_language_modeling.mask_filler import Filled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fill(OfLines):
    """Fill the gaps of texts, or of the lines of standard input, one line for each."""

    texts: Positional[tuple[str, ...]]
    """Texts with [MASK] where a word is missing; by default the lines of standard input."""
    top: int | None = None
    """Number of words to print for each gap after the text, the most probable first, with their
    probabilities; none if not given."""
    batch_lines: int = 64

    def run(self) -> None:
        """Prints the filled texts."""
        check_options(self, "top")
        top = self.top or 5  # words per gap; JSON always shows them
        filler = self.load("fill")
        self.answer(self.texts, lambda texts, first: filler.fill(texts, top, first_line=first))

    def form(self, index: int, text: Any, answer: Filled) -> str:
        """The text, and the words of its gaps if requested."""
        words = [] if self.top is None else [pair for gap in answer.gaps for pair in gap.items()]
        filled = " ".join(answer.text.splitlines())
        return "\t".join([filled, *(f"{word.strip()}\t{p:.4f}" for word, p in words)])
