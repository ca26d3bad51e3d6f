"""`flax-transformer doctor`."""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from flax_transformer.console import explain, say, show_table
from flax_transformer.data.checks.examine import Report, Tokens, examine
from flax_transformer.data.checks.examined import (
    LABELED,
    PAIR,
    TEST,
    TRAIN,
    VALIDATION,
    Part,
    part_of_files,
    parts_of_data,
)
from flax_transformer.data.checks.findings import Finding, Place
from flax_transformer.data.checks.token_checks import TokenChecks
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.files.reading_progress import show_progress
from flax_transformer.data.files.source_files import find_source_files
from flax_transformer.data.tokens.adopted_tokenizer import adopt_tokenizer
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, load_experiment
from flax_transformer.tasks.task import TOKENIZER
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.checkpoints.initialization import tokenizer_folder
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.planning.topology import start_no_accelerator
from flax_transformer.visualization.length_pictures import plot_lengths
from flax_transformer.visualization.pictures import check_picture_path, save_picture
from flax_transformer.visualization.visible_text import arrow_title, visible_token

EXIT_SERIOUS = 1
Files = Annotated[tuple[Path, ...], arg(metavar="PATH ...", help_behavior_hint="")]


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Examine data before a training: encoding, pairs, repetitions, overlap, classes, tokens.

    The exit status is 1 if anything serious was found: a training would be refused, or scores would
    be wrong.
    """

    data: Positional[tuple[Path, ...]]
    """Training data: two files of parallel text, line by line; one file (.tsv of pairs, .csv or
    .tsv with columns text and label, .conllu, or plain text), or a folder of .txt files. Or an
    experiment file, all splits of which are examined."""
    validation: Files = ()
    """Validation data, one or two files of the same kind."""
    test: Files = ()
    """Test data, one or two files of the same kind."""
    tokenizer: Path | None = None
    """A Hugging Face tokenizer.json, to find what it does not know. An experiment file has its own,
    which is learned as for its training."""
    workdir: Path | None = None
    """Folder of a training, whose tokenizer and --data.max-length are used."""
    out: Path | None = None
    """Picture of the lengths of the texts to write."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints the findings."""
        if self.out is not None:
            check_picture_path(self.out, "--out")
        start_no_accelerator()
        report = self._examine()
        if self.out is not None:
            _draw(report, self.out)
        if self.json:
            print(json.dumps(_to_json(report), indent=2, ensure_ascii=False))
        else:
            _show(report, Console())
            if self.out is not None:
                say(Console(), f"drawn in {self.out}")
        if report.is_serious:
            sys.exit(EXIT_SERIOUS)

    def _examine(self) -> Report:
        if not self.data:
            raise UserError(
                "no data to examine: give files, such as train.en train.de, or an experiment file"
            )
        if self.tokenizer is not None and self.workdir is not None:
            raise UserError("--tokenizer and --workdir both give a tokenizer: leave one out")
        if len(self.data) == 1 and self.data[0].suffix in (".py", ".json"):
            return self._examine_experiment(load_experiment(self.data[0]))
        given = {TRAIN: self.data, VALIDATION: self.validation, TEST: self.test}
        parts = [part_of_files(name, paths) for name, paths in given.items() if paths]
        _check_kinds(parts)
        files = [path for part in parts for path in part.files]
        found = self._given_tokenizer()
        experiment = None if self.workdir is None else Workdir(self.workdir).load()
        tokens = {} if found is None else _tokens(found, experiment and experiment.data)
        return examine(parts, files, tokens, show_progress)

    def _examine_experiment(self, experiment: Experiment) -> Report:
        for name in (VALIDATION, TEST):
            if getattr(self, name):
                raise UserError(
                    f"--{name} is given, but {self.data[0]} has its own splits: leave it out"
                )
        experiment = experiment.with_absolute_paths()
        data = experiment.data
        tokens: Tokens = {}
        notes = []
        try:
            found = self._given_tokenizer() or _learned_tokenizer(experiment)
            tokens = {} if found is None else _tokens(found, data)
        except UserError as error:
            notes.append(f"tokens: {error}")
        files = list(find_source_files(data))
        parts = [part._replace(files=tuple(files)) for part in parts_of_data(data)]
        report = examine(parts, files, tokens, show_progress)
        return report._replace(notes=[*report.notes, *notes])

    def _given_tokenizer(self) -> Tokenizer | None:
        if self.tokenizer is not None:
            return adopt_tokenizer(self.tokenizer)
        if self.workdir is None:
            return None
        Workdir(self.workdir).load()
        return load_tokenizer(self.workdir / TOKENIZER)


def _check_kinds(parts: Sequence[Part]) -> None:
    """Rejects parts of different kinds."""
    for part in parts[1:]:
        if part.kind != parts[0].kind:
            raise UserError(
                f"--{part.name} {part.files[0]} holds {part.kind}, but {parts[0].files[0]} "
                f"{parts[0].kind}: give files of the same kind"
            )


def _learned_tokenizer(experiment: Experiment) -> Tokenizer | None:
    """The tokenizer that a training of the experiment would use; None for images and videos."""
    source = None if experiment.init_from is None else Path(experiment.init_from)
    task: Any = find_task(experiment)[1]
    with tempfile.TemporaryDirectory(prefix="doctor-") as new_workdir:
        folder = tokenizer_folder(Path(new_workdir), source)
        return task.open_tokenizer(experiment.data, folder, training=True)


def _tokens(tokenizer: Tokenizer, data: DataConfig | None) -> Tokens:
    """The checks of each kind of data; only pairs and labeled texts have a limit of tokens."""
    checks = {}
    for kind in (PAIR, LABELED, "text", "tagged_words"):
        has_limit = data is not None and data.kind == kind and kind in (PAIR, LABELED)
        limit = getattr(data, "max_length", None) if has_limit else None
        sides = (tokenizer, tokenizer.target) if kind == PAIR else (tokenizer,)
        checks[kind] = [TokenChecks(side, limit, begin=kind != PAIR) for side in sides]
    return checks


def _draw(report: Report, path: Path) -> None:
    lengths = {}
    for name, measured in report.measured.items():
        if not measured.rows.sources.any():
            continue  # images
        rows, is_pair = measured.rows, measured.part.kind == PAIR
        lengths[f"{name}, source" if is_pair else name] = rows.sources
        if is_pair:
            lengths[f"{name}, target"] = rows.targets
    if not lengths:
        raise UserError(
            f"--out {path}: no texts were read whose lengths could be drawn: leave it out"
        )
    save_picture(plot_lengths(lengths, "characters"), path)


def _to_json(report: Report) -> dict[str, Any]:
    return {
        "serious": report.is_serious,
        "examined": {
            name: {"kind": one.part.kind, "unit": one.part.unit, "number": len(one.rows.numbers)}
            for name, one in report.measured.items()
        },
        "not_examined": report.notes,
        "findings": [finding.to_json() for finding in report.findings],
    }


def _show(report: Report, console: Console) -> None:
    """Prints a table of the findings, and then the places of each."""
    parts = [
        f"{name}: {len(one.rows.numbers):,} {_plural(one.part.unit)} of {one.part.kind}"
        for name, one in report.measured.items()
    ]
    explain(console, f"examined {'; '.join(parts) or 'nothing to the end'}")
    for note in report.notes:
        explain(console, f"not examined: {note}")
    if not report.findings:
        say(console, "found nothing")
        return
    rows = {_name(finding): _cells(finding) for finding in report.findings}
    show_table(console, "findings, the serious ones first", rows)
    for finding in report.findings:
        say(console, "")
        say(console, f"{_name(finding)}: {finding.kind.what}")
        for place in finding.places:
            say(console, f"  {_place(finding.unit, place)}")


def _name(finding: Finding) -> str:
    return f"{finding.kind.name} in {finding.where}"


def _cells(finding: Finding) -> dict[str, Any]:
    numbers = [f"{place.number:,}" for place in finding.places if place.number]
    more = ", ..." if finding.count > len(finding.places) else ""
    of_all = f"{finding.count:,} of {finding.total:,} {_plural(finding.unit)}"
    return {
        "severity": finding.severity,
        "found": f"{of_all}, {_percent(finding.share)}",
        "first": f"{'; '.join(numbers)}{more}",
        "what to do": finding.kind.advice,
    }


def _percent(share: float) -> str:
    """Formats a share; a small one with two digits."""
    return f"{100 * share:.2g} %" if share < 0.01 else f"{share:.1%}".replace("%", " %")


def _place(unit: str, place: Place) -> str:
    """A place as one line: its number, its texts and what else is known of it."""
    where = "first at" if unit == "class" else unit
    number = f"{where} {place.number:,}: " if place.number else ""
    texts = list(map(visible_token, place.texts))
    shown = arrow_title(*texts) if len(texts) == 2 else "".join(texts)
    note = f"({place.note})" if shown and place.note else place.note
    return f"{number}{shown} {note}".strip()


def _plural(unit: str) -> str:
    return "classes" if unit == "class" else f"{unit}s"
