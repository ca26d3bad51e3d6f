"""Compares two trainings of one task: settings, scores with their significance, outputs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.datasets import open_split, read_pairs
from flax_transformer.errors import UserError
from flax_transformer.evaluation.changed_outputs import (
    Changed,
    changed_decisions,
    changed_texts,
    read_decision,
)
from flax_transformer.evaluation.scores import exact_match
from flax_transformer.evaluation.significance import Tested, compare_decisions, compare_texts
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.class_names import read_class_names
from flax_transformer.tasks.classification.classification_task import CLASSES, ClassificationTask
from flax_transformer.tasks.tasks import find_task
from flax_transformer.tasks.translation.translation_task import TranslationTask, bleu_tokenizer
from flax_transformer.training.assemble import Weights
from flax_transformer.training.checkpoints.settings import differing_settings
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.evaluated_once import evaluate_once
from flax_transformer.training.kept_scores import Evaluation

# Why the differences of these tasks are not tested.
UNTESTED = {
    **dict.fromkeys(
        ("language_modeling", "masked_language_modeling"),
        "only sums over the split are kept, and the tokens of a text are not independent",
    ),
    "tagging": "the words of a sentence are not independent",
}


class ChangedExample(NamedTuple):
    """An example with different outputs of the two trainings.

    Attributes:
        number: of the example, from 1.
        source: its text; "" for images and videos.
        right: the right translations, or the right class.
        outputs: of the two trainings.
        quality: of the two outputs; see `Changed`.
    """

    number: int
    source: str
    right: tuple[str, ...]
    outputs: tuple[str, str]
    quality: tuple[float, float]


class Comparison(NamedTuple):
    """Two trainings side by side.

    Attributes:
        task: its name.
        split: that was scored.
        digest: of the examples of the split.
        settings: name -> both values, of the settings that differ.
        evaluations: of both.
        tested: name of a score -> the test of its difference.
        untested: why no difference is tested; "" if some are.
        examples: those with different outputs, the largest change of quality first.
    """

    task: str
    split: str
    digest: str
    settings: dict[str, tuple[object, object]]
    evaluations: tuple[Evaluation, Evaluation]
    tested: dict[str, Tested]
    untested: str
    examples: list[ChangedExample]


def compare(
    paths: tuple[Path, Path],
    split: str | None = None,
    weights: Weights = "average",
    command: Sequence[str] = (),
) -> Comparison:
    """Compares two trainings on a split; evaluates them unless their workdirs have the outputs.

    Args:
        paths: their workdirs.
        split: to score; by default the held-out split of the first.
        weights: which checkpoints of both; see `load`.
        command: the words of the command line, if any, to store with new scores.

    Raises:
        UserError: if both are the same folder, their tasks or the examples of their splits differ,
            or as `evaluate`.
    """
    if paths[0].resolve() == paths[1].resolve():
        raise UserError(f"{paths[0]} and {paths[1]} are the same workdir: give two")
    experiments = tuple(Workdir(path).load() for path in paths)
    (task, kind), (other, _) = map(find_task, experiments)
    if task != other:
        raise UserError(
            f"{paths[0]} holds a model for {task}, {paths[1]} one for {other}: give two of one task"
        )
    split = split or str(experiments[0].data.held_out_split)
    digests = [digest_examples(experiment.data, split) for experiment in experiments]
    if digests[0] != digests[1]:
        raise UserError(
            f"{paths[0]} and {paths[1]} have different examples in the split {split} "
            f"({digests[0][:12]} and {digests[1][:12]}): compare trainings with the same data"
        )
    first, second = (evaluate_once(path, split, weights, command) for path in paths)
    experiment, outputs = experiments[0], (first.outputs, second.outputs)
    tested: dict[str, Tested] = {}
    examples: list[ChangedExample] = []
    if issubclass(kind, TranslationTask):
        tested, examples = _compare_translations(experiment, split, outputs)
    elif issubclass(kind, ClassificationTask):
        tested, examples = _compare_classes(paths, experiment.data, split, outputs)
    return Comparison(
        task,
        split,
        digests[0],
        differing_settings(*experiments),
        (first, second),
        tested,
        UNTESTED.get(task, ""),
        examples,
    )


def digest_examples(data: DataConfig, split: str) -> str:
    """Computes a digest of what is scored: the texts and the classes of a split.

    That of images and videos is the digest of their whole data set.
    """
    opened = open_split(data, split)
    if data.kind in ("image", "video"):
        return opened.digest
    digest = hashlib.sha256()
    for record in opened:
        for name, value in sorted(record.items()):
            if name == "label":
                value = opened.class_names[value] if value >= 0 else ""
            # A text may come in parts.
            parts = [value] if isinstance(value, str) else value
            digest.update(f"\0{name}\0".encode())
            for part in parts:
                digest.update(part.encode() + b"\0" * (name != "text"))
    return digest.hexdigest()


def _compare_translations(
    experiment: Experiment, split: str, outputs: tuple[list[str], list[str]]
) -> tuple[dict[str, Tested], list[ChangedExample]]:
    pairs = read_pairs(experiment.data, split)
    right = [(pair.target, *pair.references) for pair in pairs]
    tested = compare_texts(
        outputs[0], outputs[1], right, tokenize=bleu_tokenizer(experiment, pairs)
    )
    first, second = (
        [exact_match([text], [texts]).value > 0 for text, texts in zip(side, right, strict=True)]
        for side in outputs
    )
    tested["exact_match"] = compare_decisions(first, second)
    examples = [
        _example(one, outputs, pairs[one.index].source, right[one.index])
        for one in changed_texts(outputs[0], outputs[1], right)
    ]
    return tested, examples


def _compare_classes(
    paths: tuple[Path, Path], data: DataConfig, split: str, outputs: tuple[list[str], list[str]]
) -> tuple[dict[str, Tested], list[ChangedExample]]:
    sources, labels = _read_labels(data, split)
    decisions = [
        [read_decision(line, names) for line in lines]
        for path, lines in zip(paths, outputs, strict=True)
        for names in [read_class_names(path / CLASSES)]
    ]
    first, second = (
        [one.given == label for one, label in zip(side, labels, strict=True)] for side in decisions
    )
    tested = {"accuracy": compare_decisions(first, second)}
    given = ([one.given for one in decisions[0]], [one.given for one in decisions[1]])
    examples = [
        _example(one, given, sources[one.index], (labels[one.index],))
        for one in changed_decisions(decisions[0], decisions[1], labels)
    ]
    return tested, examples


def _read_labels(data: DataConfig, split: str) -> tuple[list[str], list[str]]:
    """The texts of a split, "" for images, and the names of the right classes."""
    opened = open_split(data, split)
    if opened.arrays is not None:
        rows = [("", number) for number in opened.arrays[1].tolist()]
    else:
        rows = [(record.get("text", ""), int(record["label"])) for record in opened]
    sources, numbers = [text for text, _ in rows], [number for _, number in rows]
    return sources, [opened.class_names[number] for number in numbers]


def _example(
    changed: Changed, outputs: tuple[list[str], list[str]], source: str, right: tuple[str, ...]
) -> ChangedExample:
    first, second = (side[changed.index] for side in outputs)
    quality = changed.first, changed.second
    return ChangedExample(changed.index + 1, source, right, (first, second), quality)
