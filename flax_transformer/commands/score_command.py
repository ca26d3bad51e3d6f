"""`flax-transformer score`."""

import dataclasses
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfLines
from flax_transformer.data.files.text_files import read_parallel
from flax_transformer.errors import UserError
from flax_transformer.line_batches import Shard, parse_shard
from flax_transformer.tasks.tasks import find_task
from flax_transformer.tasks.text_scores import TextScore
from flax_transformer.training.assemble import check_command
from flax_transformer.training.checkpoints.workdir import Workdir


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(OfLines):
    """Print the log-probability of given texts or translations, one line for each.

    A line has the log-probability in nats, the number of tokens, and the mean log-probability of a
    token. The end mark counts as a token.
    """

    texts: Positional[tuple[str, ...]]
    """For a language model, texts; for a translator, SOURCE, a tab and TARGET. By default the lines
    of standard input."""
    source: Path | None = None
    """File of sources, one per line; needs --target."""
    target: Path | None = None
    """File of their translations, one per line; needs --source."""

    def run(self) -> None:
        """Prints the scores."""
        _, kind = find_task(Workdir(self.workdir).load())
        command = kind.command if kind.searches else "score"
        check_command(command, self.workdir)
        is_translator = kind.takes[1] == "target_tokens"
        pairs = self._pairs_of_files(is_translator)
        predictor = self.load(command)
        if pairs:
            shard = parse_shard(self.shard) or Shard(0, 1)
            part = shard.part(len(pairs))
            pairs = pairs[part.start : part.stop]
            scores = predictor.score(*map(list, zip(*pairs, strict=True))) if pairs else []
            for index, pair, score in zip(part, pairs, scores, strict=True):
                self.write(index, "\t".join(pair), score)
            return

        def score(texts: list[str], first: int) -> list[TextScore]:
            given = _sides(texts, first) if is_translator else [texts]
            return predictor.score(*given, first_line=first)

        self.answer(self.texts, score)

    def form(self, index: int, text: Any, answer: TextScore) -> str:
        """The three numbers of a text."""
        return f"{answer.log_prob:.4f}\t{answer.num_tokens}\t{answer.mean_log_prob:.4f}"

    def _pairs_of_files(self, is_translator: bool) -> list[tuple[str, ...]]:
        """Reads the files of sources and targets, if they are given."""
        files = [file for file in (self.source, self.target) if file is not None]
        if len(files) == 1:
            raise UserError("--source and --target belong together: give both files, or neither")
        if files and not is_translator:
            raise UserError("--source and --target need a translator: give the texts as arguments")
        if files and self.texts:
            raise UserError(
                "both texts and --source with --target are given: leave one of the two out"
            )
        return list(read_parallel(*files))


def _sides(lines: list[str], first: int) -> list[list[str]]:
    """Splits lines into the source before the tab and the target after it."""
    for number, line in enumerate(lines, first):
        if line.count("\t") != 1:
            raise UserError(
                f"text {number} has {line.count(chr(9))} tabs, {line!r:.60}: give SOURCE, one tab "
                "and TARGET, or --source FILE --target FILE"
            )
    pairs = [line.split("\t") for line in lines]
    return [[source for source, _ in pairs], [target for _, target in pairs]]
