"""Classification: from texts, images or videos to the loss of their classes."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flax_transformer.data.batches.examples import NO_CLASS, LabelledBatch
from flax_transformer.errors import UserError
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.classification.class_weights import BALANCED, parse_class_weights
from flax_transformer.tasks.task import Variables


@dataclasses.dataclass(frozen=True)
class ClassificationConfig:
    """How a classifier is trained."""

    label_smoothing: float = 0.0
    """Probability mass of the right class spread evenly over all classes."""
    class_weights: tuple[str, ...] = ()
    """Weights of the classes in the training loss: balanced, so that all classes count equally, or
    NAME=WEIGHT, given once for each of some classes; the others have weight 1. Scores are not
    weighted."""

    def __post_init__(self) -> None:
        """Refuses a smoothing that is not a share, and weights that are not positive numbers."""
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"task.label_smoothing must be in [0, 1), not {self.label_smoothing}")
        if self.class_weights != (BALANCED,):
            parse_class_weights(self.class_weights)


class Target(NamedTuple):
    """What is asked of the rows of a batch, or one part of it.

    Attributes:
        classes: number of a class of each row.
        weights: of its cross-entropy, 0 of a row that only fills the batch.
    """

    classes: Int[Array, " rows"]
    weights: Float[Array, " rows"]


Augment = Callable[[PRNGKeyArray, Array, tuple[Target, ...]], tuple[Array, tuple[Target, ...]]]
"""(random key, inputs, targets) -> both, changed by chance; all targets' losses are summed."""


class Reading(NamedTuple):
    """How a model reads the inputs of a batch.

    Attributes:
        method: of the model, which gives the logits of the classes.
        prepare: from the inputs to what that method takes.
        example: inputs of one row, by which the model's parameters are drawn.
        augment: changes the inputs before `prepare` takes them, in training only.
    """

    method: str
    prepare: Callable[[Array], Array]
    example: Array
    augment: Augment | None = None


class Predicted(NamedTuple):
    """What a model says of each row.

    Attributes:
        probabilities: of the classes.
        nll: negative log-likelihood of the right class in nats; 0 without one.
    """

    probabilities: Float[Array, "rows classes"]
    nll: Float[Array, " rows"]


class Classification:
    """A model of classes and its cross-entropy.

    Attributes:
        config: how the model is trained.
        model: of texts, images or videos.
        reading: how it reads them.
        class_weights: factor of the loss of each class; None if all weigh 1.
    """

    def __init__(
        self,
        config: ClassificationConfig,
        model: Any,
        reading: Reading,
        class_weights: Float[np.ndarray, " classes"] | None = None,
    ):
        self.config = config
        self.model = model
        self.reading = reading
        self.class_weights = class_weights

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters; statistics start neutral."""
        inputs = self.reading.prepare(self.reading.example)
        init = jax.jit(self.model.init, static_argnames="method")
        return init(rng, inputs, method=self.reading.method)

    def loss(
        self,
        params: Any,
        statistics: dict[str, Any],
        batch: LabelledBatch,
        dropout_rng: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Any]]:
        """Sums the training loss of a batch; see `Objective`.

        loss = sum_i w_i l_i, weight = sum_i w_i, with the weight w_i of the class of example i and
        its label-smoothed cross-entropy l_i
        """
        inputs, labels = jnp.asarray(batch.inputs), jnp.asarray(batch.labels)
        weights = (labels != NO_CLASS).astype(jnp.float32)
        targets = (Target(labels, weights),)
        if self.reading.augment is not None:
            dropout_rng, augment_rng = jax.random.split(dropout_rng)
            inputs, targets = self.reading.augment(augment_rng, inputs, targets)
        if self.class_weights is not None:
            of_class = jnp.asarray(self.class_weights)
            targets = tuple(Target(t.classes, t.weights * of_class[t.classes]) for t in targets)
        applied: Any = self.model.apply(
            {"params": params, **statistics},
            self.reading.prepare(inputs),
            deterministic=False,
            rngs={"dropout": dropout_rng},
            mutable=list(statistics),
            method=self.reading.method,
        )
        logits, statistics = applied
        sums = [
            label_smoothed_cross_entropy(logits, *target, self.config.label_smoothing)
            for target in targets
        ]
        loss, weight = (sum(parts, jnp.zeros((), jnp.float32)) for parts in zip(*sums, strict=True))
        return loss, weight, statistics

    def predict(self, variables: Variables, batch: LabelledBatch) -> Predicted:
        """Gives the probabilities of the classes."""
        inputs = self.reading.prepare(jnp.asarray(batch.inputs))
        logits: Any = self.model.apply(variables, inputs, method=self.reading.method)
        logits = logits.astype(jnp.float32)
        labels = jnp.asarray(batch.labels)
        weights = (labels != NO_CLASS).astype(jnp.float32)
        nll, _ = jax.vmap(label_smoothed_cross_entropy)(logits, labels, weights)
        return Predicted(jax.nn.softmax(logits), nll)
