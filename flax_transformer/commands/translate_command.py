"""`flax-transformer translate`."""

import dataclasses
import math
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.line_batches import answer_lines, json_line, line_batches
from flax_transformer.models.model_config import ComputeType
from flax_transformer.tasks.text_scores import ScoredText
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
    """Translations of each text, the best first, one a line; decoding.num-best if not given. With
    several, each line begins with the text's index, from 0, and a tab."""
    scores: bool = False
    """Put each translation's score, the normalised log-probability, and a tab before it."""
    prefix: str = ""
    """Text with which every translation begins. It should end with a whole word and without a
    space. Scores count only the text after it."""
    json: bool = False
    """Print a line of JSON for each text: its index, from 0, the input, and the outputs with their
    scores."""
    batch_lines: int = 1024
    """Maximum number of lines of standard input that are translated together; 1 answers each line
    at once. Fewer are taken if no more have arrived."""
    seed: int = 0
    """Of sampling, with --decoding.method sample."""
    decoding: UseAppendAction[DecodingConfig] = DecodingConfig()

    def run(self) -> None:
        """Prints the translations."""
        decoding = self.decoding
        if self.n_best is not None:
            decoding = dataclasses.replace(decoding, num_best=self.n_best)
        batches = line_batches(self.texts, self.batch_lines)
        translator = load_for("translate", self.workdir, self.weights, decoding, self.dtype)

        def translate(texts: list[str], number: int) -> list[list[ScoredText]]:
            return translator.translate_n_best(
                texts, seed=self.seed, first_line=number, prefix=self.prefix
            )

        translate([], 1)  # an impossible prefix is one error, not an error for each line
        answer_lines(batches, translate, self._write)

    def _write(self, index: int, text: str, found: list[ScoredText] | UserError) -> None:
        if self.json:
            print(json_line(index, text, found))
            return
        is_n_best = (self.n_best or self.decoding.num_best) > 1
        several = [] if isinstance(found, UserError) else found
        for translation, score in several or [ScoredText("", -math.inf)]:
            # Whatever its reader takes for the end of a line.
            line = " ".join(translation.splitlines())
            columns = [str(index)] * is_n_best + [f"{score:.4f}"] * self.scores + [line]
            print("\t".join(columns))
