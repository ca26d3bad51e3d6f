"""`flax-transformer embed`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from tyro.conf import DisallowNone, Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.errors import UserError
from flax_transformer.line_batches import answer_lines
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.whole_files import check_target, written_whole


class TextVector(NamedTuple):
    """The vector of a text, with as many digits as tell its numbers in float32 apart."""

    vector: list[float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed(OfLines):
    """Print the vectors of texts, or of the lines of standard input, one line for each."""

    texts: Positional[tuple[str, ...]]
    """Texts; by default the lines of standard input."""
    pooling: str | None = None
    """Vector of a text: the mean or max of its tokens, or first: the first one, which is BERT's
    class token. By default the mean, or what the imported folder says."""
    normalize: Annotated[bool | None, DisallowNone] = None
    """Divide each vector by its length, so that scalar products are cosines. By default no, or what
    the imported folder says."""
    out: Path | None = None
    """File to write instead of printing: a NumPy array [texts, d_model] in float32, which np.load
    reads. It replaces an existing file, unless a line cannot be read."""

    def run(self) -> None:
        """Prints or writes the vectors."""
        if self.out is not None:
            check_target(self.out, "file", "--out")
            if self.json:
                raise UserError("--json prints, and --out writes a file: leave one of the two out")
        _, kind = find_task(Workdir(self.workdir).load())
        is_encoder = kind.takes == ("tokens", "vectors")
        embedder = self.load(kind.command if is_encoder else "embed")

        def embed(texts: list[str]) -> np.ndarray:
            return embedder.embed(texts, self.pooling, self.normalize)

        if self.out is None:
            self.answer(self.texts, lambda texts, _: list(map(_vector, embed(texts))))
            return
        rows: list[np.ndarray] = []
        answer_lines(
            self.batches(self.texts),
            lambda texts, _: [*embed(texts)],
            lambda *answer: rows.append(answer[2]),
        )
        vectors = np.stack(rows) if rows else embed([])
        with written_whole(self.out) as unfinished, unfinished.open("wb") as file:
            np.save(file, vectors)

    def form(self, index: int, text: Any, answer: TextVector) -> str:
        """The numbers, with a tab between two of them."""
        return "\t".join(map(str, answer.vector))


def _vector(row: np.ndarray) -> TextVector:
    return TextVector([float(str(number)) for number in row])
