"""`flax-transformer generate`."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfSearch
from flax_transformer.errors import UserError, check_number
from flax_transformer.line_batches import (
    LineBatch,
    answer_lines,
    is_pipe_or_file,
    is_terminal,
    line_batches,
)
from flax_transformer.tasks.text_predictor import ScoredText

BETWEEN = "---"  # a line between two outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generate(OfSearch):
    """Continue texts, or the lines of standard input, by a language model."""

    texts: Positional[tuple[str, ...]]
    """Beginnings of texts; the lines of standard input if there are none. An empty beginning starts
    a new document; so does a terminal or /dev/null as standard input."""
    length: int | None = None
    """Tokens to write; decoding.max-extra-length if not given."""
    num_samples: int | None = None
    """Continuations of each text; decoding.num-best if not given. With several, a line "--- INDEX"
    before each output gives the index of its text, from 0."""

    def run(self) -> None:
        """Prints each beginning with what the model writes after it."""
        check_number("--seed", self.seed, 0)
        if self.length is not None:
            check_number("--length", self.length)
        decoding = self.finding(self.num_samples)
        batches = line_batches(self.texts, self.batch_lines)
        generator = self.load("generate", decoding)
        generate = partial(generator.generate_n_best, length=self.length, seed=self.seed)
        answer_lines(
            self._or_begin(batches),
            lambda texts, first: generate(texts, first_line=first),
            self.write,
        )

    def _or_begin(self, batches: Iterator[LineBatch]) -> Iterator[LineBatch]:
        """The texts, or one empty text if standard input is not a pipe or a file."""
        has_texts = False
        if self.texts or not is_terminal():
            for batch in batches:
                has_texts = True
                yield batch
        if not has_texts and not is_pipe_or_file():
            yield LineBatch(0, [""], False)

    def form(self, index: int, text: Any, answer: list[ScoredText] | UserError) -> str:
        """Each output after its beginning, with a line between two of them."""
        is_n_best = (self.num_samples or self.decoding.num_best) > 1
        found = [] if isinstance(answer, UserError) else [text + one.text for one in answer]
        between = f"{BETWEEN} {index}\n" if is_n_best else f"{BETWEEN}\n" if index else ""
        return "\n".join(between + one for one in found or [""])
