"""`flax-transformer translate`."""

import dataclasses
from functools import partial
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfSearch
from flax_transformer.tasks.text_predictor import ScoredText


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translate(OfSearch):
    """Translate texts, or the lines of standard input, one line for each."""

    texts: Positional[tuple[str, ...]]
    """Texts to translate; by default the lines of standard input."""
    n_best: int | None = None
    """Number of translations of each text, the best first, one per line; by default
    --decoding.num-best. With several, each line begins with the text's index, from 0, and a tab."""
    scores: bool = False
    """Print before each translation its score and a tab: the log-probability, which a beam search
    divides by the length penalty."""
    prefix: str = ""
    """Text with which every translation begins. It should end with a whole word and without a
    space. Scores cover only the text after it."""

    def run(self) -> None:
        """Prints the translations."""
        translator = self.load("translate", self.finding(self.n_best))
        translate = partial(translator.translate_n_best, seed=self.seed, prefix=self.prefix)
        translate([])  # an impossible prefix is one error, not an error for each line
        self.answer(self.texts, lambda texts, first: translate(texts, first_line=first))

    def form(self, index: int, text: Any, answer: list[ScoredText]) -> str:
        """One line per translation."""
        is_n_best = (self.n_best or self.decoding.num_best) > 1
        columns = (
            # All characters that end a line.
            [str(index)] * is_n_best + [f"{score:.4f}"] * self.scores + [" ".join(t.splitlines())]
            for t, score in answer
        )
        return "\n".join(map("\t".join, columns))
