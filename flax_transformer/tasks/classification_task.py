"""Classification as a task: from labelled examples to a classifier and its scores."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.data.examples import ArrayInputs, Examples, LabelledBatch, LabelledBatches
from flax_transformer.errors import UserError
from flax_transformer.evaluation.classes import class_scores, confusions
from flax_transformer.tasks.class_weights import class_weights
from flax_transformer.tasks.classification import Classification
from flax_transformer.tasks.classifier import Classifier
from flax_transformer.tasks.sources import SOURCES, Source
from flax_transformer.tasks.task import NUM_SAMPLES, Parts, Scored, Scorer, Variables
from flax_transformer.whole_files import written_whole

CLASSES = "classes.json"


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
        source.open(data.held_out_split)
        batches = LabelledBatches(examples, data.batch_size, rows_multiple, parts.seed)
        names = examples.class_names
        weights = class_weights(parts.task.class_weights, examples.labels, names)
        return cls(parts, source, names, weights), batches

    @classmethod
    def restore(cls, parts: Parts, folder: Path) -> "ClassificationTask":
        """Makes the task of a trained model."""
        path = folder / CLASSES
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot read {path} ({error}): restore the file, or train again into an empty "
                "workdir"
            ) from error
        source = SOURCES[type(parts.data)](parts, folder, is_trained=True)
        return cls(parts, source, tuple(names))

    def save(self, folder: Path) -> None:
        """Writes the names of the classes, and what the source needs."""
        with written_whole(folder / CLASSES) as file:
            text = json.dumps(self._class_names, ensure_ascii=False, indent=2)
            file.write_text(text + "\n", encoding="utf-8")
        self._source.save(folder)

    def scorer(self, split: str) -> Scorer:
        """Opens a split to classify."""
        examples = self._source.open(split)
        classifier = self.predictor(None)

        def score(variables: Variables, is_quick: bool = False) -> Scored:
            classifier.variables = variables
            probabilities, nll = classifier.predict(examples)
            return Scored(
                class_scores(probabilities, nll, examples.labels),
                [] if is_quick else self._lines(probabilities),
                self._samples(examples, probabilities),
                self._source.show(examples.inputs, 0),
                confusions(probabilities, examples.labels, self._class_names),
            )

        return score

    def predictor(self, variables: Variables) -> Classifier:
        """Makes a classifier; it may get its variables later."""
        source = self._source
        return Classifier(self.objective, variables, self._class_names, source.read, source.attend)

    def examples(self, batch: LabelledBatch) -> Iterator[dict[str, Any]]:
        """Gives the examples with the names of their classes: texts; of an image its mean pixel."""
        inputs = ArrayInputs(np.asarray(batch.inputs))
        for row, label in enumerate(batch.labels.tolist()):
            if label >= 0:
                text = self._source.show(inputs, row)
                shown = {"text": text} if text else {"mean": float(inputs.array[row].mean())}
                yield {"row": row, "class": self._class_names[label], **shown}

    def _lines(self, probabilities: np.ndarray) -> list[str]:
        """The class of each example, and after it the probabilities of all classes."""
        return [
            "\t".join([self._class_names[int(row.argmax())], *(f"{p:.4f}" for p in row)])
            for row in probabilities
        ]

    def _samples(self, examples: Examples, probabilities: np.ndarray) -> list[str]:
        samples = []
        for index in range(min(NUM_SAMPLES, len(examples.inputs))):
            row = probabilities[index]
            given, right = int(row.argmax()), int(examples.labels[index])
            shown = self._source.show(examples.inputs, index)
            wanted = "" if given == right else f" ({self._class_names[right]})"
            samples.append(f"  {shown} -> {self._class_names[given]} {row[given]:.0%}{wanted}")
        return samples
