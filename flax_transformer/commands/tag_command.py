"""`flax-transformer tag`."""

import dataclasses
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.errors import UserError
from flax_transformer.line_batches import answer_lines, line_batches
from flax_transformer.tasks.tagging.tagger import TaggedWord, show


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag(OfLines):
    """Tag the words of sentences, or of the lines of standard input, one line out for each."""

    sentences: Positional[tuple[str, ...]]
    """Sentences whose words are separated by spaces, punctuation marks too; the lines of standard
    input if there are none."""
    batch_lines: int = 64

    def run(self) -> None:
        """Prints the words with their tags."""
        batches = line_batches(self.sentences, self.batch_lines)
        tagger = self.load("tag")
        answer_lines(batches, lambda sentences, _: tagger.tag(sentences), self.write)

    def form(self, index: int, text: Any, answer: list[TaggedWord] | UserError) -> str:
        """The words, each with its tag."""
        return "" if isinstance(answer, UserError) else show(answer)
