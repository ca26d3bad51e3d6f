"""`flax-transformer generate`."""

import dataclasses
from functools import partial
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfSearch
from flax_transformer.errors import check_options
from flax_transformer.line_batches import is_input_given
from flax_transformer.tasks.text_predictor import ScoredText

BETWEEN = "---"  # a line between two outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate(OfSearch):
    """Continue texts, or the lines of standard input, with a language model."""

    texts: Positional[tuple[str, ...]]
    """Beginnings of texts; by default the lines of standard input. An empty beginning starts a new
    document. If standard input is a terminal or /dev/null, the beginning is empty."""
    length: int | None = None
    """Number of tokens to write; by default --decoding.max-extra-length."""
    num_samples: int | None = None
    """Number of continuations of each text; by default --decoding.num-best. With several, a line
    "--- INDEX" before each output gives the index of its text, from 0."""

    def run(self) -> None:
        """Prints each beginning with its continuation."""
        check_options(self, "seed", lowest=0)
        check_options(self, "length")
        generator = self.load("generate", self.finding(self.num_samples))
        generate = partial(generator.generate_n_best, length=self.length, seed=self.seed)
        given = self.texts or ([] if is_input_given() else [""])
        self.answer(given, lambda texts, first: generate(texts, first_line=first))

    def form(self, index: int, text: Any, answer: list[ScoredText]) -> str:
        """Each output after its beginning, with a line between two outputs."""
        is_n_best = (self.num_samples or self.decoding.num_best) > 1
        between = f"{BETWEEN} {index}\n" if is_n_best else f"{BETWEEN}\n" if index else ""
        return "\n".join(between + text + one.text for one in answer)
