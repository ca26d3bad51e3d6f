"""Base class of the tasks: the data, loss, scores and predictor of a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.data.batches.batch import AnyBatch
from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.errors import UserError
from flax_transformer.evaluation.metric import MetricsOf
from flax_transformer.evaluation.scores import Score

# All collections of a model: {"params": ...} and, with batch normalization, "batch_stats".
Variables: TypeAlias = Mapping[str, Any]
# The configs of a task: `experiment.Experiment`. That module imports the tasks.
Experiment: TypeAlias = Any
# A linen module; its methods depend on its kind.
Model: TypeAlias = Any
# The object that users call; its methods depend on the task.
Predictor: TypeAlias = Any
# Plain data and arrays by name.
Fields: TypeAlias = dict[str, Any]
LOSSES = "losses"  # collection into which modules sow their own losses
NUM_SAMPLES = 3
TOKENIZER = "tokenizer.json"  # of a workdir


class Loss(NamedTuple):
    """The loss of a batch as sums, so that the parts of a batch can be added.

    Attributes:
        sum: sum of the losses of all units, in nats.
        weight: by which the sum is divided, such as the number of target tokens.
        statistics: the model's collections except its parameters, updated by this batch.
        extra: further losses of the model by name, such as the balancing of experts; each is the
            model's own mean times `weight`.
    """

    sum: Float[Array, ""]
    weight: Float[Array, ""]
    statistics: Fields
    extra: dict[str, Float[Array, ""]]


class Scored(NamedTuple):
    """The results of a model on a split.

    Attributes:
        scores: by name.
        outputs: one line per example, in order.
        samples: lines that show a few outputs and the right ones.
        example: an input to try a trained model with; "" if it cannot be typed.
        details: plain data beyond the scores, such as the scores of each class.
    """

    scores: dict[str, Score]
    outputs: list[str]
    samples: list[str]
    example: str
    details: Mapping[str, object] = MappingProxyType({})


class Example(NamedTuple):
    """An example of a split, as a user would give it to a predictor.

    Attributes:
        given: a text, or the pixels of an image or a video.
        reference: the right output; "" if there is none.
    """

    given: Any
    reference: str = ""


class Task(ABC):
    """A model, its data, its loss and its scores; `TASKS` names the class of each task.

    Attributes:
        description: one line.
        config: class of the task's own config.
        reads: classes of the data configs that it accepts.
        takes: inputs and outputs of its models, as in their configs: ("tokens", "next_tokens").
        scores: names of its scores; the first is the default of `training.best_score`.
        unit: unit of its speed, in the plural.
        command: name of the command that uses a trained model.
        searches: whether outputs are searched for; an experiment then has `decoding`.
        trains: whether it has a loss; without one, its model is only used, or begins another
            training.
        attention_options: further arguments of its predictor's `attend`.
        method: name of the model's method that computes the outputs of the task, or a function.
        model: built by `experiment.model.build`.
    """

    description: ClassVar[str]
    config: ClassVar[type]
    reads: ClassVar[tuple[type, ...]]
    takes: ClassVar[tuple[str, str]]
    scores: ClassVar[tuple[str, ...] | MetricsOf]
    unit: ClassVar[str]
    command: ClassVar[str]
    searches: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    attention_options: ClassVar[tuple[str, ...]] = ()
    method: ClassVar[str | Callable] = "__call__"

    model: Model

    @classmethod
    @abstractmethod
    def open(cls, experiment: Experiment, folder: Path, *, training: bool) -> "Task":
        """Makes the task of an experiment.

        Args:
            experiment: its configs.
            folder: with the files that `save` wrote. For a new training it may be empty or missing;
                the tokenizer or the classes then come from the training data.
            training: whether to train; all splits must then be readable. Otherwise no data are
                read.

        Raises:
            UserError: if a file or a split cannot be read.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the files that `open` reads."""

    def mixes_rows(self) -> bool:
        """Whether the loss of a row depends on other rows, apart from the model."""
        return False

    @abstractmethod
    def batches(self, split: str, *, num_devices: int = 1) -> Batches:
        """Makes the batches of a training.

        Args:
            split: to train on.
            num_devices: number of devices that share an update.

        Raises:
            UserError: if nothing is left to train on.
        """

    @abstractmethod
    def init(self, rng: PRNGKeyArray) -> Variables:
        """Initializes parameters at random, and running statistics to mean 0 and variance 1."""

    @abstractmethod
    def loss(self, variables: Variables, batch: AnyBatch, rng: PRNGKeyArray) -> Loss:
        """Computes the training loss of a batch; `rng` is the key of all randomness in a step."""

    @abstractmethod
    def evaluate(
        self, variables: Variables, split: str | OwnFiles, *, is_quick: bool = False
    ) -> Scored:
        """Scores a model.

        Args:
            variables: of the model.
            split: of its data set, or a user's own files.
            is_quick: whether to save time during training, by fewer outputs or a faster search.

        Raises:
            UserError: if the split or the files cannot be read, or do not fit the task.
        """

    def measure(self, variables: Variables, split: str | OwnFiles) -> Mapping[str, Score]:
        """Computes the scores that need no search for outputs.

        Args:
            variables: of the model.
            split: see `evaluate`.

        Raises:
            UserError: see `evaluate`.
        """
        return self.evaluate(variables, split, is_quick=True).scores

    def given(self, batch: AnyBatch | None = None) -> Fields:
        """Returns the arguments of the model for a batch, by name; see `method`.

        Args:
            batch: of the task; None: any example of the smallest size.

        Raises:
            UserError: if the task does not say what its model is given.
        """
        raise UserError(f"{type(self).__name__} has no method `given`, which this needs: add one")

    @abstractmethod
    def predictor(self, variables: Variables) -> Predictor:
        """Makes the predictor of a trained model: from a text or an image to the output.

        Its `attend` gives the arguments of `view_attention` for one input, its `answer` the output
        for it as a text.
        """

    def first_example(self, split: str | OwnFiles) -> Example:
        """Returns the first example of a split.

        Args:
            split: see `evaluate`.

        Raises:
            UserError: if the split cannot be read, or the task gives no example.
        """
        raise UserError(f"{type(self).__name__} has no method `first_example`: add one")

    @abstractmethod
    def examples(self, batch: AnyBatch) -> Iterator[Fields]:
        """Returns the examples of a batch in readable form, as plain data."""


def draw(model: Model, rng: PRNGKeyArray, *inputs: Array, method: str | Callable) -> Variables:
    """Initializes the variables of a model by one of its methods, without sown losses."""
    init = jax.jit(model.init, static_argnames="method")
    return {k: v for k, v in init(rng, *inputs, method=method).items() if k != LOSSES}


def apply_in_training(
    model: Model, variables: Variables, rng: PRNGKeyArray, *inputs: object, **options: object
) -> tuple[Any, Variables]:
    """Applies a model with dropout.

    Args:
        model: the module.
        variables: of the model.
        rng: random key of the dropout.
        *inputs: of the method.
        **options: of the method, and its name as `method`.

    Returns:
        The outputs, and the updated collections with the losses that modules sowed.
    """
    mutable = [*(name for name in variables if name != "params"), LOSSES]
    rngs = {"dropout": rng}
    return model.apply(variables, *inputs, rngs=rngs, mutable=mutable, **options)


def loss_of(total: Float[Array, ""], weight: Float[Array, ""], collections: Variables) -> Loss:
    """Joins the loss of a batch and the collections of `apply_in_training`.

    Losses that several modules sow under one name are added, and multiplied by the weight.

    Example:
        >>> sown = {"losses": {"encoder_0": {"balancing": (jnp.array([0.5, 0.25]),)}}}
        >>> loss = loss_of(jnp.array(6.0), jnp.array(4.0), sown)
        >>> {name: float(value) for name, value in loss.extra.items()}
        {'balancing': 3.0}
    """
    statistics = {name: values for name, values in collections.items() if name != LOSSES}
    extra: dict[str, Array] = {}
    for path, value in jax.tree_util.tree_leaves_with_path(collections.get(LOSSES, {})):
        name = next(key.key for key in reversed(path) if isinstance(key, jax.tree_util.DictKey))
        extra[name] = extra.get(name, 0.0) + weight * jnp.sum(value, dtype=weight.dtype)
    return Loss(total, weight, statistics, extra)
