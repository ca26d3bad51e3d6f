"""`flax-transformer score`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from flax_transformer.data.files.text_files import read_parallel
from flax_transformer.errors import UserError
from flax_transformer.line_batches import answer_lines, json_line, line_batches
from flax_transformer.models.model_config import ComputeType
from flax_transformer.tasks.tasks import find_task
from flax_transformer.tasks.text_scores import TextScore
from flax_transformer.training.assemble import Weights, load_for
from flax_transformer.training.checkpoints.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Score:
    """Print the log-probability of given texts or translations, one line out for each.

    A line has the log-probability in nats, the number of tokens, and the mean log-probability of a
    token. The end mark counts as a token.
    """

    texts: Positional[tuple[str, ...]]
    """For a language model, texts; for a translator, SOURCE, a tab and TARGET. The lines of
    standard input if there are none."""
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
    """Print a line of JSON for each text: its index, from 0, the input, and its score."""
    batch_lines: int = 1024
    """Maximum number of lines of standard input that are scored together; 1 answers each line at
    once. Fewer are taken if no more have arrived."""

    def run(self) -> None:
        """Prints the scores."""
        name, kind = find_task(Workdir(self.workdir).load())
        if not kind.searches:
            raise UserError(
                f"{self.workdir} holds a model for {name}, which cannot score texts: run "
                f"flax-transformer {kind.command} --workdir {self.workdir}"
            )
        is_translator = name == "translation"
        pairs = self._pairs_of_files(is_translator)
        batches = line_batches(self.texts, self.batch_lines)
        predictor = load_for(kind.command, self.workdir, self.weights, dtype=self.dtype)
        if pairs is None:
            answer = _score_lines(predictor) if is_translator else _score_texts(predictor)
            answer_lines(batches, answer, self._write)
            return
        scores = predictor.score(*map(list, zip(*pairs, strict=True)))
        for index, (pair, score) in enumerate(zip(pairs, scores, strict=True)):
            self._write(index, "\t".join(pair), score)

    def _pairs_of_files(self, is_translator: bool) -> list[tuple[str, ...]] | None:
        """Reads the files of sources and targets; None if there are none."""
        if (self.source is None) != (self.target is None):
            raise UserError("--source and --target belong together: give both files, or neither")
        if self.source is None or self.target is None:
            return None
        if not is_translator:
            raise UserError("--source and --target need a translator: give the texts as arguments")
        if self.texts:
            raise UserError(
                "both texts and --source with --target are given: leave one of the two out"
            )
        return list(zip(*read_parallel(self.source, self.target), strict=True))

    def _write(self, index: int, text: str, score: TextScore | UserError) -> None:
        if self.json:
            print(json_line(index, text, score))
        elif isinstance(score, UserError):
            print()
        else:
            print(f"{score.log_prob:.4f}\t{score.num_tokens}\t{score.mean_log_prob:.4f}")


def _score_texts(generator: Any) -> Callable[[list[str], int], list[TextScore]]:
    """Makes the function that scores lines of text."""
    return lambda texts, number: generator.score(texts, first_line=number)


def _score_lines(translator: Any) -> Callable[[list[str], int], list[TextScore]]:
    """Makes the function that scores lines of a source, a tab and a target."""

    def score(lines: list[str], number: int) -> list[TextScore]:
        sources, targets = [], []
        for place, line in enumerate(lines):
            pair = line.split("\t")
            if len(pair) != 2:
                raise UserError(
                    f"text {number + place} has {len(pair) - 1} tabs, {line!r:.60}: give SOURCE, "
                    "one tab and TARGET, or --source FILE --target FILE"
                )
            sources.append(pair[0])
            targets.append(pair[1])
        return translator.score(sources, targets, first_line=number)

    return score
