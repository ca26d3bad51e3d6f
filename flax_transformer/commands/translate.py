"""`flax-transformer translate`."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.models.config import ComputeType
from flax_transformer.training.assemble import Weights, load_for


@dataclasses.dataclass(frozen=True)
class Translate:
    """Translate texts, or the lines of standard input, one line out for each line in."""

    texts: Positional[tuple[str, ...]]
    """Texts to translate; standard input if there are none."""
    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""
    n_best: int | None = None
    """Translations of each text, the best first, one a line; decoding.num-best if not given."""
    scores: bool = False
    """Put each translation's score, the normalised log-probability, and a tab before it."""
    prefix: str = ""
    """How every translation begins; it should end where a word ends, without a space behind. A
    score is that of what follows it."""
    seed: int = 0
    """Of sampling, with --decoding.method sample."""
    decoding: UseAppendAction[DecodingConfig] = DecodingConfig()

    def run(self) -> None:
        """Prints the translations."""
        decoding = self.decoding
        if self.n_best is not None:
            decoding = dataclasses.replace(decoding, num_best=self.n_best)
        translator = load_for("translate", self.workdir, self.weights, decoding, self.dtype)
        for texts in [list(self.texts)] if self.texts else standard_input():
            for found in translator.translate_n_best(texts, seed=self.seed, prefix=self.prefix):
                for text, score in found:
                    # Whatever its reader takes for the end of a line.
                    line = " ".join(text.splitlines())
                    print(f"{score:.4f}\t{line}" if self.scores else line, flush=True)


def standard_input() -> Iterator[list[str]]:
    """Gives the lines of standard input: one by one while a person types, else all at once.

    Only a line feed ends a line, as in `read_lines` of text files; a byte order mark before the
    first is no part of it.

    Raises:
        UserError: if a line is not UTF-8.
    """
    stream = sys.stdin.buffer
    if stream.isatty():
        yield from ([_decode(line, number)] for number, line in enumerate(stream, 1))
        return
    lines = stream.read().split(b"\n")
    if not lines[-1]:
        lines.pop()
    yield [_decode(line, number) for number, line in enumerate(lines, 1)]


def _decode(line: bytes, number: int) -> str:
    try:
        # The mark comes from editors that save "UTF-8 with BOM"; within a text it is a character.
        return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"standard input, line {number}, is not UTF-8 ({error.reason} at byte {error.start}): "
            "convert it, for example with iconv"
        ) from error
