"""What a trained model would predict after each of its layers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.inspection.logit_lens import logit_lens
from flax_transformer.tasks.task import Task, Variables


class Guess(NamedTuple):
    """A token or a class that a model would predict.

    Attributes:
        name: of the token or the class.
        probability: of it.
    """

    name: str
    probability: float


class LensReading(NamedTuple):
    """What a model would predict after each layer.

    Attributes:
        tokens: that the model reads at each position; one empty name for a class.
        guesses: the most probable predictions after each layer [layers][positions][top].
    """

    tokens: list[str]
    guesses: list[list[list[Guess]]]


def read_lens(
    task: Task, variables: Variables, inputs: Mapping[str, Any], top: int = 5
) -> LensReading:
    """Computes what a model would predict after each layer, see `inspection.logit_lens`.

    Args:
        task: with a model of texts, images or videos.
        variables: of the model.
        inputs: arguments of the model for one example, without padding.
        top: number of predictions of each position.
    """
    compute: Any = jax.jit(
        lambda variables, inputs: logit_lens(task.model, variables, inputs, method=task.method)
    )
    logits = compute(variables, dict(inputs))[:, 0]
    names, tokens = _names(task), [""]
    if logits.ndim == 2:  # of classes
        logits = logits[:, None]
    else:
        read = inputs.get("target", inputs.get("tokens"))
        tokens = task_tokenizer(task).names(np.asarray(read)[0].tolist())
    probabilities, ids = jax.lax.top_k(
        jax.nn.softmax(logits.astype(jnp.float32)), min(top, logits.shape[-1])
    )
    shares, numbers = np.asarray(probabilities).tolist(), np.asarray(ids).tolist()
    guesses = [
        [
            [Guess(names(number), share) for number, share in zip(*cell, strict=True)]
            for cell in zip(*layer, strict=True)
        ]
        for layer in zip(numbers, shares, strict=True)
    ]
    return LensReading(tokens, guesses)


def task_tokenizer(task: Any) -> Any:
    """Returns the tokenizer of what a model writes."""
    return task.tokenizer.target


def _names(task: Any) -> Any:
    """A function that names a predicted number: a class, a tag or a token."""
    classes: Sequence[str] = getattr(task, "class_names", getattr(task, "tags", ()))
    if classes:
        return lambda number: classes[number]
    return lambda number: task_tokenizer(task).names([number])[0]
