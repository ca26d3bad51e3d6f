"""`flax-transformer evaluate`."""

import dataclasses
import json
import sys
from pathlib import Path

from rich.console import Console
from tyro.conf import AvoidSubcommands, UseAppendAction

from flax_transformer.commands.several_processes import OfProcesses
from flax_transformer.commands.trained_model import OfModel
from flax_transformer.console import say, show_scores
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.evaluation.bleu_tokenizers import BleuTokenizer
from flax_transformer.training.assemble import evaluate
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.processes import is_first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(OfModel, OfProcesses):
    """Score a trained model on a split of its data set, or on your own files."""

    split: str | None = None
    """Split to score; by default the held-out split, if no file is given."""
    source: Path | None = None
    """For a translation model: your own text to translate, one sentence per line."""
    target: UseAppendAction[tuple[Path, ...]] = ()
    """The translation of --source, line by line; repeat the option for several references."""
    file: Path | None = None
    """For a text classifier: your own .csv or .tsv with columns text and label. For a language
    model, masked or not: your own text, or a folder of .txt files."""
    folder: Path | None = None
    """For a classifier of images or videos: your own files, as FOLDER/CLASS/FILE."""
    bleu_tokenizer: BleuTokenizer | None = None
    """For a translation model: sacreBLEU's name of the tokenizer that splits texts into words for
    BLEU; by default --task.bleu-tokenizer of the training."""
    json: bool = False
    """Print the record as JSON."""
    decoding: UseAppendAction[AvoidSubcommands[DecodingConfig | None]] = DecodingConfig()

    def run(self) -> None:
        """Prints the scores and saves them in the workdir."""
        with self.joined():
            self._run()

    def _run(self) -> None:
        record, _ = evaluate(
            self.workdir,
            self._split(),
            command=sys.argv,
            weights=self.weights,
            decoding=self.decoding,
            dtype=self.dtype,
            task_options=(
                {} if self.bleu_tokenizer is None else {"bleu_tokenizer": self.bleu_tokenizer}
            ),
        )
        if not is_first():
            return
        if self.json:
            print(json.dumps(record.to_json(), indent=2, ensure_ascii=False))
        else:
            show_scores(record)
            say(Console(), f"kept in {Workdir(self.workdir).scores}")

    def _split(self) -> str | OwnFiles:
        """The split or the files to score."""
        files = OwnFiles(self.source, self.target, self.file, self.folder)
        given = list(files.paths())
        if given and self.split is not None:
            raise UserError(f"--split and --{given[0]} both say what to score on: leave one out")
        if given:
            return files
        if self.split is not None:
            return self.split
        return Workdir(self.workdir).load().data.held_out_split
