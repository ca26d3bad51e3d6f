"""Classification: the loss, scores and classifier of labeled texts, images or videos."""

import functools
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.data.batches.batch import NO_CLASS, LabeledBatch
from flax_transformer.data.batches.examples import ExampleBatches, Examples, Inputs
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.evaluation.class_scores import TOP, Outcomes
from flax_transformer.evaluation.metric import MetricsOf, compute_scores
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.class_names import read_class_names, save_class_names
from flax_transformer.tasks.classification.augmentation import Augment, Target
from flax_transformer.tasks.classification.classification_config import (
    ClassificationConfig,
    class_weights,
)
from flax_transformer.tasks.classification.classifier import Classifier, Input
from flax_transformer.tasks.given_texts import warn_of_cut_texts
from flax_transformer.tasks.task import (
    NUM_SAMPLES,
    TOKENIZER,
    Example,
    Experiment,
    Fields,
    Loss,
    Scored,
    Task,
    Variables,
    apply_in_training,
    draw,
    loss_of,
)

CLASSES = "classes.json"
MAX_LISTED_CLASSES = 100  # with more classes, an example's line has only the largest probabilities


class ClassificationTask(Task):
    """Base class of the classification of texts, images and videos.

    A subclass defines how examples are read and shown, and the inputs of the model.

    Args:
        experiment: its configs.
        class_names: in the order of the class numbers.
        tokenizer: of texts.
        weights: factor of the loss of each class; None if all are 1.
    """

    config = ClassificationConfig
    scores = MetricsOf("labels", "is_in_top", others=("loss",))
    command = "classify"
    augment: Augment | None = None  # augmentation of the inputs, in training only

    def __init__(
        self,
        experiment: Experiment,
        class_names: tuple[str, ...],
        tokenizer: Tokenizer | None = None,
        weights: Float[np.ndarray, " classes"] | None = None,
    ):
        self.experiment, self.class_names = experiment, class_names
        self.tokenizer, self.class_weights = tokenizer, weights
        sizes = {} if tokenizer is None else {"vocab_size": tokenizer.vocab_size}
        self.model = experiment.model.build(num_classes=len(class_names), **sizes)
        self.predict = jit_by_rows(self._predict, rows=("batch",))
        # Training scores the validation split many times.
        self._examples = functools.lru_cache(maxsize=1)(self._read_examples)

    @classmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "ClassificationTask":
        """Reads the class names and the tokenizer, or takes them from the training data."""
        data = experiment.data
        tokenizer = cls.open_tokenizer(data, folder, training)
        if not training:
            return cls(experiment, read_class_names(folder / CLASSES), tokenizer)
        examples = cls.read_split(data, tokenizer, data.train_split)
        cls.check(experiment, examples)
        _check_labels(examples, data.train_split)
        warn_of_cut_texts(examples.inputs, f"of the split {data.train_split}")
        names, given = examples.class_names, experiment.task.class_weights
        _check_best_score(experiment.training.best_score, len(names))
        cls.read_split(data, tokenizer, data.held_out_split)
        weights = class_weights(given, examples.labels, names) if given else None
        task = cls(experiment, names, tokenizer, weights)
        task._examples(data.validation_split)
        return task

    def save(self, folder: Path) -> None:
        """Writes the names of the classes, and the tokenizer of texts."""
        save_class_names(folder / CLASSES, self.class_names)
        if self.tokenizer is not None:
            self.tokenizer.save(folder / TOKENIZER)

    def mixes_rows(self) -> bool:
        """Whether images are mixed with others."""
        return self.augment is not None and bool(self.experiment.data.augmentation.mixup)

    def batches(self, split: str, *, num_devices: int = 1) -> ExampleBatches:
        """Makes batches of examples."""
        data, seed = self.experiment.data, self.experiment.seed
        examples = self.read_split(data, self.tokenizer, split)
        return ExampleBatches(examples, data.batch_size, seed=seed)

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Initializes parameters at random, and running statistics to mean 0 and variance 1."""
        return draw(self.model, rng, *self.given().values(), method=self.method)

    def loss(self, variables: Variables, batch: LabeledBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the label-smoothed cross-entropy of a batch.

        sum = sum_i w_i l_i, weight = sum_i w_i, with the weight w_i of the class of example i and
        its loss l_i
        """
        inputs, labels = jnp.asarray(batch.inputs), jnp.asarray(batch.labels)
        targets = (Target(labels, (labels != NO_CLASS).astype(jnp.float32)),)
        if self.augment is not None:
            rng, augment_rng = jax.random.split(rng)
            inputs, targets = self.augment(augment_rng, inputs, targets)
        if self.class_weights is not None:
            of_class = jnp.asarray(self.class_weights)
            targets = tuple(Target(t.classes, t.weights * of_class[t.classes]) for t in targets)
        given = self.given(batch._replace(inputs=inputs))
        logits, collections = apply_in_training(
            self.model, variables, rng, **given, deterministic=False, method=self.method
        )
        smoothing = self.experiment.task.label_smoothing
        sums = [label_smoothed_cross_entropy(logits, *target, smoothing) for target in targets]
        loss, weight = (sum(parts, jnp.zeros((), jnp.float32)) for parts in zip(*sums, strict=True))
        return loss_of(loss, weight, collections)

    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Classifies a split; unless quick, writes a line for each example."""
        examples = self._examples(split)
        outcomes, lines = self._classify(variables, examples, with_lines=not is_quick)
        return Scored(
            compute_scores(self.scores, **outcomes.measured(len(self.class_names))),
            lines,
            self._samples(examples, outcomes),
            self.show(_input(examples, 0)),
            {} if is_quick else outcomes.details(self.class_names),
        )

    def predictor(self, variables: Variables) -> Classifier:
        """Makes a classifier."""
        return Classifier(self, variables)

    def first_example(self, split: str | OwnFiles) -> Example:
        """Returns the first example of a split."""
        examples = self._examples(split)
        given = _input(examples, 0)
        shown = given if self.tokenizer is None else self.show(given)
        return Example(shown, self.class_names[int(examples.labels[0])])

    def examples(self, batch: LabeledBatch) -> Iterator[Fields]:
        """Yields the examples with their class names: a text, or the mean pixel of an image."""
        for row, label in enumerate(batch.labels.tolist()):
            if label >= 0:
                given = np.asarray(batch.inputs[row])
                text = self.show(given)
                shown = {"text": text} if text else {"mean": float(given.mean())}
                yield {"row": row, "class": self.class_names[label], **shown}

    @classmethod
    def open_tokenizer(cls, data: DataConfig, folder: Path, training: bool) -> Tokenizer | None:
        """Reads the tokenizer of texts, or learns it from the training data."""
        return None

    @classmethod
    @abstractmethod
    def read_split(cls, data: DataConfig, tokenizer: Tokenizer | None, split: str) -> Examples:
        """Reads a split."""

    @abstractmethod
    def read_own(self, files: OwnFiles) -> Examples:
        """Reads a user's own labeled examples, with the classes of the model."""

    @classmethod
    def check(cls, experiment: Experiment, examples: Examples) -> None:
        """Rejects examples that the model cannot read."""

    @abstractmethod
    def given(self, batch: LabeledBatch | None = None) -> Fields:
        """Returns texts with segments, or scaled pixels."""

    @abstractmethod
    def read(self, inputs: Input) -> Inputs:
        """Reads a user's own inputs: one, or a list."""

    def expand(self, word: str) -> list[Input]:
        """Returns the inputs that a command-line argument names: a text, or one or more files."""
        return [word]

    @abstractmethod
    def attention(self, variables: Variables, given: Input) -> Fields:
        """Computes the attention within an input: the arguments of `view_attention`."""

    def show(self, given: np.ndarray) -> str:
        """Formats an input of a batch as one line; "" if it is not a text."""
        return ""

    def _predict(
        self, variables: Variables, batch: LabeledBatch
    ) -> tuple[Float[Array, "rows classes"], Float[Array, " rows"]]:
        """The probabilities of the classes, and the loss of the right class; 0 without a label."""
        logits = self.model.apply(variables, **self.given(batch), method=self.method)
        logits = logits.astype(jnp.float32)
        labels = jnp.asarray(batch.labels)
        weights = (labels != NO_CLASS).astype(jnp.float32)
        nll, _ = jax.vmap(label_smoothed_cross_entropy)(logits, labels, weights)
        return jax.nn.softmax(logits), nll

    def _read_examples(self, split: str | OwnFiles) -> Examples:
        if isinstance(split, OwnFiles):
            examples, where = self.read_own(split), ""
        else:
            examples = self.read_split(self.experiment.data, self.tokenizer, split)
            _check_labels(examples, split)
            # The data set may have been prepared again with another order of the classes.
            examples, where = examples.numbered_as(self.class_names), f"of the split {split}"
        warn_of_cut_texts(examples.inputs, where)
        return examples

    def _classify(
        self, variables: Variables, examples: Examples, with_lines: bool
    ) -> tuple[Outcomes, list[str]]:
        """The outcome and the output line of every example, without keeping all probabilities."""
        parts, order = [], []
        lines = [""] * len(examples.inputs) if with_lines else []
        for indices, probabilities, nll in self.predictor(variables).predict_batches(examples):
            parts.append(Outcomes.of(probabilities, nll, examples.labels[indices]))
            order.append(indices)
            if with_lines:
                for index, row in zip(indices.tolist(), probabilities, strict=True):
                    lines[index] = self._line(row)
        places = np.argsort(np.concatenate(order))
        outcomes = Outcomes(*(np.concatenate(part)[places] for part in zip(*parts, strict=True)))
        return outcomes, lines

    def _line(self, row: np.ndarray) -> str:
        """The class and the probabilities of all classes; only the largest if there are many."""
        if len(row) <= MAX_LISTED_CLASSES:
            return "\t".join([self.class_names[int(row.argmax())], *(f"{p:.4f}" for p in row)])
        # Sorted by number first: the first of equally probable classes wins.
        top = np.sort(np.argpartition(-row, TOP)[:TOP])
        ranked = top[np.argsort(-row[top], kind="stable")].tolist()
        return "\t".join(f"{self.class_names[number]}\t{row[number]:.4f}" for number in ranked)

    def _samples(self, examples: Examples, outcomes: Outcomes) -> list[str]:
        samples = []
        for index in range(min(NUM_SAMPLES, len(examples.inputs))):
            given, right = int(outcomes.given[index]), int(examples.labels[index])
            shown = self.show(_input(examples, index))
            wanted = "" if given == right else f" ({self.class_names[right]})"
            confidence = outcomes.confidences[index]
            samples.append(f"  {shown} -> {self.class_names[given]} {confidence:.0%}{wanted}")
        return samples


def _input(examples: Examples, index: int) -> np.ndarray:
    """One input in the form of a batch."""
    return examples.inputs.take(np.array([index]))[0][0]


def _check_labels(examples: Examples, split: str) -> None:
    """Rejects a split without labels; some benchmarks keep theirs secret."""
    num_without = int(np.count_nonzero(examples.labels == NO_CLASS))
    if num_without:
        raise UserError(
            f"{num_without:,} of {len(examples.labels):,} examples of the split {split} have no "
            "label: choose another split"
        )


def _check_best_score(best_score: str, num_classes: int) -> None:
    if best_score == "top5_accuracy" and num_classes <= TOP:
        raise UserError(
            f"--training.best-score top5_accuracy is always 100 with {num_classes} classes: give "
            "--training.best-score accuracy"
        )
