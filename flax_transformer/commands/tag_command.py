"""`flax-transformer tag`."""

import dataclasses
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.tasks.tagging.tagger import TaggedWord, show


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tag(OfLines):
    """Tag the words of sentences, or of the lines of standard input, one line for each."""

    sentences: Positional[tuple[str, ...]]
    """Sentences with spaces between words and punctuation marks; by default the lines of standard
    input."""
    batch_lines: int = 64

    def run(self) -> None:
        """Prints the words with their tags."""
        tagger = self.load("tag")
        self.answer(self.sentences, lambda sentences, _: tagger.tag(sentences))

    def form(self, index: int, text: Any, answer: list[TaggedWord]) -> str:
        """The words with their tags."""
        return show(answer)
