"""A training as shapes only: its task, its largest batch and its step, without any array."""

import copy
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from flax_transformer.data.batches.batch import Batch, LabeledBatch, TextBatch
from flax_transformer.data.batches.buckets import rows_by_length
from flax_transformer.data.datasets.datasets import check_splits
from flax_transformer.data.tokens.adopted_tokenizer import adopt_tokenizer
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.data.tokens.tokenizer import NUM_SPECIAL, Tokenizer
from flax_transformer.errors import LARGEST_NUMBER, UserError
from flax_transformer.experiment import Experiment
from flax_transformer.functional.kernels import formulas_only
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingTask,
)
from flax_transformer.tasks.task import TOKENIZER, Task
from flax_transformer.tasks.tasks import find_task
from flax_transformer.tasks.text_task import TextTask
from flax_transformer.training.checkpoints.initialization import check_run
from flax_transformer.training.optimizer.optimizer_config import make_optimizer, make_schedule
from flax_transformer.training.step import TrainState, init_state, make_train_step

READ_DATA = "--read-data"
MANY_UPDATES = 500  # the batches of so many updates are looked at
_FIRST_LETTER, _LAST_LETTER = 0x10000, 0x10FFFF


class PlannedTraining(NamedTuple):
    """A training, of whose batches only the shape is known.

    Attributes:
        experiment: to train.
        task: of the experiment; its tokenizer may be a stand-in of the right size.
        batch: the largest batch of an update over all devices, with shapes instead of arrays.
    """

    experiment: Experiment
    task: Any
    batch: Any

    @property
    def num_rows(self) -> int:
        """Rows of the batch."""
        return jax.tree.leaves(self.batch)[0].shape[0]

    def with_rows(self, number: int) -> "PlannedTraining":
        """Returns the training with another number of rows."""

        def resized(array: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((number, *array.shape[1:]), array.dtype)

        return self._replace(batch=jax.tree.map(resized, self.batch))

    def state(self) -> TrainState:
        """Returns the shapes of the state."""
        return jax.eval_shape(
            lambda key: init_state(self.task.init(key), self._optimizer()), abstract_key()
        )

    @property
    def mixes_rows(self) -> bool:
        """Whether a row's loss depends on other rows."""
        return self.experiment.model.mixes_rows() or self.task.mixes_rows()

    def step(
        self, axis_name: str | None = None, accumulate_steps: int | None = None
    ) -> Callable[..., Any]:
        """Makes the step of the training, or one with another number of micro-batches."""
        training = self.experiment.training
        return make_train_step(
            self.task.loss,
            self._optimizer(),
            max_skipped=training.max_skipped,
            accumulate_steps=accumulate_steps or training.accumulate_steps,
            axis_name=axis_name,
        )

    def _optimizer(self) -> Any:
        config, model = self.experiment.optimizer, self.experiment.model
        schedule = make_schedule(config, model.d_model, self.experiment.training.num_steps)
        return make_optimizer(config, schedule)

    def count_flops(self) -> float:
        """Counts the floating-point operations of a step that the model needs.

        XLA counts the body of a loop once, and random bits as operations. So the program to count
        has all layers one after the other, the formulas instead of kernels that work in parts, no
        dropout, and computes nothing twice to save memory. It is only lowered, not compiled.
        """
        task = copy.copy(self.task)
        task.model = task.model.clone(config=_plain(task.model.config))
        plain = self._replace(task=task)
        with formulas_only():
            step = jax.jit(plain.step(accumulate_steps=1))
            lowered = step.lower(plain.state(), self.batch, abstract_key())
            analysis: Any = lowered.cost_analysis()
        return float(analysis["flops"])


def abstract_key() -> Any:
    """Returns the shape of a random key."""
    return jax.eval_shape(lambda: jax.random.key(0))


def _plain(config: Any) -> Any:
    names = {field.name for field in dataclasses.fields(config)}
    changes: dict[str, Any] = {name: 0.0 for name in names if name.endswith("dropout_rate")}
    plain = {"remat": "none", "scan_layers": False, "attention_implementation": "xla"}
    changes |= {name: value for name, value in plain.items() if name in names}
    return dataclasses.replace(config, **changes)


def plan_training(
    experiment: Experiment, num_devices: int, num_shares: int, *, reads_data: bool
) -> PlannedTraining:
    """Finds the task of an experiment, and the shape of its largest batch.

    Args:
        experiment: to train.
        num_devices: number of devices that share an update.
        num_shares: number of equal shares into which the rows of a batch are cut.
        reads_data: whether vocabulary and batches are those of the data; otherwise the largest that
            the options of the data allow.

    Raises:
        UserError: if the data are needed but not read, or cannot be read.
    """
    if experiment.training.lora.rank:
        raise UserError(
            f"--training.lora.rank {experiment.training.lora.rank}: only trainings of all "
            "parameters can be planned: leave it out"
        )
    multiple = num_shares * experiment.training.accumulate_steps
    if not reads_data:
        task = _open_without_data(experiment)
        return PlannedTraining(experiment, task, _largest_allowed(task, num_devices, multiple))
    check_splits(experiment.data)
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(experiment.init_from or empty)
        task = find_task(experiment)[1].open(experiment, folder, training=True)
    split = experiment.data.train_split
    batches = task.batches(split, num_devices=num_devices).filled(multiple)
    seen = (batches[step] for step in range(min(batches.batches_per_epoch, MANY_UPDATES)))
    largest = max(seen, key=lambda batch: sum(x.size for x in jax.tree.leaves(batch)))
    return PlannedTraining(experiment, task, jax.tree.map(_shape_of, largest))


def _shape_of(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _open_without_data(experiment: Experiment) -> Task:
    name, kind = find_task(experiment)
    is_known = kind.takes[1] in ("target_tokens", "next_tokens")
    if not issubclass(kind, TextTask) or not (is_known or kind is MaskedLanguageModelingTask):
        raise UserError(f"{name} takes its classes from the data: add {READ_DATA}")
    return kind(experiment, _tokenizer(experiment))


def _tokenizer(experiment: Experiment) -> Tokenizer:
    """Returns the tokenizer if it exists, else one of letters with as many tokens as allowed."""
    data: Any = experiment.data
    if experiment.init_from is not None:
        check_run(Path(experiment.init_from))
        return load_tokenizer(Path(experiment.init_from) / TOKENIZER)
    if data.tokenizer is not None:
        return adopt_tokenizer(data.tokenizer)
    if getattr(data, "tokens", "subwords") == "characters":
        raise UserError(
            f"--data.tokens characters: their number is only known from the data: add {READ_DATA}"
        )
    # One more token is for unknown letters.
    last = _FIRST_LETTER + data.vocab_size - NUM_SPECIAL - 2
    if last > _LAST_LETTER:
        raise UserError(f"--data.vocab-size {data.vocab_size} is too large to plan with: lower it")
    return Tokenizer.of_characters(map(chr, range(_FIRST_LETTER, last + 1)))


def _largest_allowed(task: Any, num_devices: int, multiple: int) -> Any:
    data, given = task.experiment.data, task.takes[1]
    length = data.max_length
    if given == "target_tokens":
        tokens, pairs = data.limits(num_devices)
        rows = rows_by_length(tokens, pairs, length, LARGEST_NUMBER)(length)
        rows = -(-rows // multiple) * multiple
        return _batch(Batch, *[(rows, length)] * 4)
    rows = -(-data.batch_size // multiple) * multiple
    if given == "next_tokens":
        # The last token is only predicted.
        return _batch(TextBatch, *[(rows, length + 1)] * 2)
    return _batch(LabeledBatch, (rows, length), (rows,), (rows, length))


def _batch(kind: Any, *shapes: tuple[int, ...]) -> Any:
    return kind(*(jax.ShapeDtypeStruct(shape, np.int32) for shape in shapes))
