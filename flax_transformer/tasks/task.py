"""What training, evaluation and commands know of a task, whatever it is about.

A task is made of an experiment in a folder. It reads examples and makes batches of them, has an
objective that training minimises, scores a model on a split, and makes a predictor of it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.evaluation.scores import Score

# All collections of a model: {"params": ...} and, with batch normalisation, "batch_stats".
Variables = Any
NUM_SAMPLES = 3
TOKENIZER = "tokenizer.json"  # of a workdir


@runtime_checkable
class Objective(Protocol):
    """A model and what its training minimises."""

    model: Any

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters; statistics start neutral."""
        ...

    def loss(
        self, params: Any, statistics: dict[str, Any], batch: Any, dropout_rng: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Any]]:
        """Sums the training loss of a batch.

        Args:
            params: the model's parameters.
            statistics: the model's other collections.
            batch: of the task.
            dropout_rng: random key of all that is random in a step.

        Returns:
            The loss in nats, the weight whose sum it is to be divided by, and the statistics with
            this batch taken in.
        """
        ...


class Scored(NamedTuple):
    """What a model did on a split.

    Attributes:
        scores: by name.
        outputs: what it gave for each example, a line each, in order.
        samples: lines that show a few outputs beside what was wanted.
        example: an input to try a trained model with; "" if none can be typed.
        details: plain data beyond the scores, such as the scores of each class.
    """

    scores: dict[str, Score]
    outputs: list[str]
    samples: list[str]
    example: str
    details: Mapping[str, Any] = MappingProxyType({})


Scorer = Callable[..., Scored]
"""(variables, is_quick) -> what they do on a split; `is_quick` for a look during training."""


@runtime_checkable
class Parts(Protocol):
    """The configs that a task is made of: an experiment has them."""

    @property
    def data(self) -> Any:
        """Which examples."""

    @property
    def model(self) -> Any:
        """Which model."""

    @property
    def task(self) -> Any:
        """How it is trained for what."""

    @property
    def decoding(self) -> Any:
        """How outputs are searched for; None where nothing is."""

    @property
    def training(self) -> Any:
        """How long it is trained, and by which score the best checkpoint is chosen."""

    @property
    def seed(self) -> int:
        """Of the order of the data."""
        ...


@runtime_checkable
class Task(Protocol):
    """See above.

    Attributes:
        unit: what its speed is counted in, in the plural.
        objective: its model and loss.
    """

    unit: str
    objective: Any

    def save(self, folder: Path) -> None:
        """Writes what `restore` reads."""
        ...

    def scorer(self, split: str) -> Scorer:
        """Opens a split to score variables on, as often as asked."""
        ...

    def own_scorer(self, files: OwnFiles) -> Scorer:
        """Does the same with a user's own files.

        Raises:
            UserError: if these are not the files that the task reads, or they cannot be read.
        """
        ...

    def predictor(self, variables: Variables) -> Any:
        """Makes what users call: of a trained model, from a text or an image to its output.

        Its `attend` gives, of one input, the arguments of `view_attention`.
        """
        ...

    def examples(self, batch: Any) -> Iterator[dict[str, Any]]:
        """Gives the examples of a batch as plain data that a person can read."""
        ...


@runtime_checkable
class TaskMaker(Protocol):
    """How a task is made: the class of it."""

    def prepare(
        self, parts: Parts, folder: Path, *, num_devices: int, rows_multiple: int
    ) -> tuple[Task, Batches]:
        """Reads the data to train on; writes nothing into the folder.

        Args:
            parts: of an experiment.
            folder: that may hold what `save` wrote in an earlier process.
            num_devices: that share an update.
            rows_multiple: what the rows of a batch must divide by.

        Raises:
            UserError: if a split cannot be opened, or nothing is left to train on.
        """
        ...

    def restore(self, parts: Parts, folder: Path) -> Task:
        """Makes the task of a trained model; reads no data."""
        ...
