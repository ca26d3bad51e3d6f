"""`flax-transformer generate`."""

import dataclasses
from functools import partial
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfSearch
from flax_transformer.errors import UserError, check_options
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
    chat: bool = False
    """Answer each text as a question, by the chat template of an imported model."""
    system: str | None = None
    """With --chat: a message that says how to answer."""
    num_samples: int | None = None
    """Number of continuations of each text; by default --decoding.num-best. With several, a line
    "--- INDEX" before each output gives the index of its text, from 0."""

    def run(self) -> None:
        """Prints each beginning with its continuation, or each answer."""
        check_options(self, "seed", lowest=0)
        check_options(self, "length")
        if self.system is not None and not self.chat:
            raise UserError("--system is a message of a conversation: give --chat too")
        generator = self.load("generate", self.finding(self.num_samples))
        find = generator.chat_n_best if self.chat else generator.generate_n_best
        generate = partial(find, length=self.length, seed=self.seed)
        given = self.texts or ([] if is_input_given() else [""])
        ask = self.conversations if self.chat else list
        self.answer(given, lambda texts, first: generate(ask(texts), first_line=first))

    def conversations(self, questions: list[str]) -> list[list[dict[str, str]]]:
        """Makes a conversation of each question."""
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [[*before, {"role": "user", "content": question}] for question in questions]

    def form(self, index: int, text: Any, answer: list[ScoredText]) -> str:
        """Each output after its beginning, or each answer, with a line between two outputs."""
        text = "" if self.chat else text
        is_n_best = (self.num_samples or self.decoding.num_best) > 1
        between = f"{BETWEEN} {index}\n" if is_n_best else f"{BETWEEN}\n" if index else ""
        return "\n".join(between + text + one.text for one in answer)
