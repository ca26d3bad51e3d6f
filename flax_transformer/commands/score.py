"""`flax-transformer score`."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.translate import standard_input
from flax_transformer.data.parallel_text import Pair
from flax_transformer.data.text_files import read_parallel
from flax_transformer.errors import UserError
from flax_transformer.models.config import ComputeType
from flax_transformer.tasks.kinds import kind_of
from flax_transformer.tasks.text_scores import TextScore
from flax_transformer.training.assemble import Weights, load_for
from flax_transformer.training.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Score:
    """Print the log-probability of given texts or translations, one line out for each.

    A line has the log-probability in nats, the number of tokens and the mean of a token; the end
    mark is counted.
    """

    texts: Positional[tuple[str, ...]]
    """Texts for a language model; SOURCE, a tab and TARGET for a translator. The lines of standard
    input if there are none."""
    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""
    source: Path | None = None
    """File of sources, one a line; needs --target."""
    target: Path | None = None
    """File of their translations, one a line; needs --source."""
    json: bool = False
    """Print a line of JSON for each text."""

    def run(self) -> None:
        """Prints the scores."""
        name, kind = kind_of(Workdir(self.workdir).load().task)
        if not kind.searches:
            raise UserError(
                f"{self.workdir} holds a model for {name}, which gives no text a probability: give "
                f"flax-transformer {kind.command} --workdir {self.workdir}"
            )
        if (self.source is None) != (self.target is None):
            raise UserError("--source and --target belong together: give both files, or neither")
        if self.source is not None and (self.texts or name != "translation"):
            reason = "texts are given as well" if self.texts else f"the model is for {name}"
            raise UserError(f"--source and --target are for a translator without texts; {reason}")
        predictor = load_for(kind.command, self.workdir, self.weights, dtype=self.dtype)
        number = 0
        for inputs in self._inputs(name == "translation"):
            # A translator takes sources and targets.
            sides = zip(*inputs, strict=True) if name == "translation" else [inputs]
            scores = predictor.score(*map(list, sides)) if inputs else []
            for given, score in zip(inputs, scores, strict=True):
                print(self._line(number, given, score), flush=True)
                number += 1

    def _inputs(self, are_pairs: bool) -> Iterator[list[Any]]:
        """Gives texts, or pairs, in lists."""
        if self.source is not None and self.target is not None:
            lines = read_parallel(self.source, self.target)
            yield [Pair(*pair) for pair in zip(*lines, strict=True)]
            return
        number = 0
        for texts in [list(self.texts)] if self.texts else standard_input():
            yield (
                [_pair(text, number + i) for i, text in enumerate(texts, 1)] if are_pairs else texts
            )
            number += len(texts)

    def _line(self, index: int, given: str | Pair, score: TextScore) -> str:
        if not self.json:
            return f"{score.log_prob:.4f}\t{score.num_tokens}\t{score.mean_log_prob:.4f}"
        shown = {"text": given} if isinstance(given, str) else given._asdict()
        fields = {**score._asdict(), "mean_log_prob": score.mean_log_prob}
        return json.dumps({"index": index, **shown, **fields}, ensure_ascii=False)


def _pair(text: str, number: int) -> Pair:
    source, tab, target = text.partition("\t")
    if not tab:
        raise UserError(
            f"text {number} has no tab, {text!r:.60}: give SOURCE, a tab and TARGET, or --source "
            "FILE --target FILE"
        )
    return Pair(source, target)
