"""`flax-transformer tag`."""

import dataclasses
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
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
        tagger = self.load("tag")
        self.answer(self.sentences, lambda sentences, _: tagger.tag(sentences))

    def form(self, index: int, text: Any, answer: list[TaggedWord]) -> str:
        """The words, each with its tag."""
        return show(answer)
