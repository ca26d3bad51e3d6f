"""Classification as a task: from labelled examples to a classifier and its scores."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.data.batches.examples import (
    NO_CLASS,
    ArrayInputs,
    Examples,
    LabelledBatch,
    LabelledBatches,
)
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.errors import UserError
from flax_transformer.evaluation.class_scores import TOP, Outcomes
from flax_transformer.evaluation.metric import compute_scores, metrics_of
from flax_transformer.tasks.classification.class_weights import class_weights
from flax_transformer.tasks.classification.classification import Classification
from flax_transformer.tasks.classification.classifier import Classifier
from flax_transformer.tasks.classification.sources import SOURCES, Source
from flax_transformer.tasks.cut_texts import warn_of_cut_texts
from flax_transformer.tasks.task import NUM_SAMPLES, Parts, Scored, Scorer, Variables
from flax_transformer.whole_files import written_whole

CLASSES = "classes.json"
MAX_LISTED_CLASSES = 100  # with more, an example's line has only the largest probabilities


class ClassificationTask:
    """Tells the classes of texts, images or videos; see `Task` for its methods."""

    def __init__(
        self, parts: Parts, source: Source, class_names: tuple[str, ...], weights: Any = None
    ):
        self._source, self._class_names = source, class_names
        self.unit = source.unit
        model = source.model(len(class_names))
        self.objective = Classification(parts.task, model, source.reading(), weights)

    @classmethod
    def prepare(
        cls, parts: Parts, folder: Path, *, num_devices: int, rows_multiple: int
    ) -> tuple["ClassificationTask", LabelledBatches]:
        """Reads the data to train on."""
        data = parts.data
        source = SOURCES[type(data)](parts, folder, is_trained=False)
        examples = source.open(data.train_split)
        source.check(examples)
        _check_labels(examples, data.train_split)
        warn_of_cut_texts(examples.inputs, f"of the split {data.train_split}")
        _check_best_score(parts, len(examples.class_names))
        source.open(data.held_out_split)
        batches = LabelledBatches(examples, data.batch_size, rows_multiple, parts.seed)
        names = examples.class_names
        given = parts.task.class_weights
        weights = class_weights(given, examples.labels, names) if given else None
        return cls(parts, source, names, weights), batches

    @classmethod
    def restore(cls, parts: Parts, folder: Path) -> "ClassificationTask":
        """Makes the task of a trained model."""
        source = SOURCES[type(parts.data)](parts, folder, is_trained=True)
        return cls(parts, source, _read_names(folder / CLASSES))

    def save(self, folder: Path) -> None:
        """Writes the names of the classes, and what the source needs."""
        path, text = folder / CLASSES, json.dumps(self._class_names, ensure_ascii=False, indent=2)
        if path.exists() and _read_names(path) != self._class_names:
            raise UserError(
                f"the classes of the data, or their order, are not those of {path}: train into "
                "another --workdir"
            )
        with written_whole(path) as file:
            file.write_text(text + "\n", encoding="utf-8")
        self._source.save(folder)

    def scorer(self, split: str) -> Scorer:
        """Opens a split to classify."""
        examples = self._source.open(split)
        _check_labels(examples, split)
        # The data set may have been prepared again, with its classes in another order.
        return self._scorer(examples.numbered_as(self._class_names), f"of the split {split}")

    def own_scorer(self, files: OwnFiles) -> Scorer:
        """Reads a user's own files to classify."""
        return self._scorer(self._source.open_own(files, self._class_names))

    def _scorer(self, examples: Examples, where: str = "") -> Scorer:
        warn_of_cut_texts(examples.inputs, where)
        classifier = self.predictor(None)

        def score(variables: Variables, is_quick: bool = False) -> Scored:
            classifier.variables = variables
            outcomes, lines = self._classify(classifier, examples, with_lines=not is_quick)
            return Scored(
                compute_scores(
                    (*metrics_of("labels", "is_in_top"), "loss"),
                    **outcomes.measured(len(self._class_names)),
                ),
                lines,
                self._samples(examples, outcomes),
                self._source.show(examples.inputs, 0),
                {} if is_quick else outcomes.details(self._class_names),
            )

        return score

    def predictor(self, variables: Variables) -> Classifier:
        """Makes a classifier; it may get its variables later."""
        source = self._source
        return Classifier(
            self.objective,
            variables,
            self._class_names,
            source.read,
            source.attend,
            source.expand,
        )

    def examples(self, batch: LabelledBatch) -> Iterator[dict[str, Any]]:
        """Gives the examples with the names of their classes: texts; of an image its mean pixel."""
        inputs = ArrayInputs(np.asarray(batch.inputs))
        for row, label in enumerate(batch.labels.tolist()):
            if label >= 0:
                text = self._source.show(inputs, row)
                shown = {"text": text} if text else {"mean": float(inputs.array[row].mean())}
                yield {"row": row, "class": self._class_names[label], **shown}

    def _classify(
        self, classifier: Classifier, examples: Examples, with_lines: bool
    ) -> tuple[Outcomes, list[str]]:
        """The outcomes of all examples, and a line for each, without keeping all probabilities."""
        parts, order = [], []
        lines = [""] * len(examples.inputs) if with_lines else []
        for indices, probabilities, nll in classifier.predict_batches(examples):
            parts.append(Outcomes.of(probabilities, nll, examples.labels[indices]))
            order.append(indices)
            if with_lines:
                for index, row in zip(indices.tolist(), probabilities, strict=True):
                    lines[index] = self._line(row)
        places = np.argsort(np.concatenate(order))
        outcomes = Outcomes(*(np.concatenate(part)[places] for part in zip(*parts, strict=True)))
        return outcomes, lines

    def _line(self, row: np.ndarray) -> str:
        """The class and the probabilities of all classes; with many classes, only the largest."""
        if len(row) <= MAX_LISTED_CLASSES:
            return "\t".join([self._class_names[int(row.argmax())], *(f"{p:.4f}" for p in row)])
        # Sorted by number first, so that of equally probable classes the first is named.
        top = np.sort(np.argpartition(-row, TOP)[:TOP])
        ranked = top[np.argsort(-row[top], kind="stable")].tolist()
        return "\t".join(f"{self._class_names[number]}\t{row[number]:.4f}" for number in ranked)

    def _samples(self, examples: Examples, outcomes: Outcomes) -> list[str]:
        samples = []
        for index in range(min(NUM_SAMPLES, len(examples.inputs))):
            given, right = int(outcomes.given[index]), int(examples.labels[index])
            shown = self._source.show(examples.inputs, index)
            wanted = "" if given == right else f" ({self._class_names[right]})"
            confidence = outcomes.confidences[index]
            samples.append(f"  {shown} -> {self._class_names[given]} {confidence:.0%}{wanted}")
        return samples


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} ({error}): restore the file, or train again into an empty workdir"
        ) from error


def _check_labels(examples: Examples, split: str) -> None:
    """Refuses a split whose labels are kept secret, as those of some benchmarks are."""
    num_without = int(np.count_nonzero(examples.labels == NO_CLASS))
    if num_without:
        raise UserError(
            f"{num_without:,} of {len(examples.labels):,} examples of the split {split} have no "
            "label: choose another split"
        )


def _check_best_score(parts: Parts, num_classes: int) -> None:
    if parts.training.best_score == "top5_accuracy" and num_classes <= TOP:
        raise UserError(
            f"--training.best-score top5_accuracy is always 100 with {num_classes} classes: give "
            "--training.best-score accuracy"
        )
