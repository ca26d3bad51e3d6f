"""A trained model that a service answers with."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from flax_transformer.serving.limits import LimitsConfig, RequestError


class ServedModel(abc.ABC):
    """A loaded model that answers many requests.

    Args:
        name: by which requests name it.
        predictor: of its task.
        limits: of requests.

    Attributes:
        name: see the argument.
        predictor: see the argument.
        limits: see the argument.
        does: what the model does: the command that uses it.
        max_length: tokens that it reads of a text; only models of texts have it.
        shows_attention: whether there is a page of its attention for a text.
        example_text: a text that it reads.
    """

    does: str
    max_length: int
    shows_attention = True
    example_text = "a text"

    def __init__(self, name: str, predictor: Any, limits: LimitsConfig):
        self.name, self.predictor, self.limits = name, predictor, limits

    def described(self) -> dict[str, Any]:
        """Returns what the start page knows of the model."""
        return {"name": self.name, "does": self.does, "attends": self.shows_attention}

    async def attention_options(self, text: str) -> Mapping[str, Any]:
        """Returns the options of the predictor's `attend` for a text."""
        return {}

    def late(self) -> RequestError:
        """Makes the error of a request that took too long."""
        return RequestError(503, f"no answer within {self.limits.seconds:g} s: try again later")

    @property
    @abc.abstractmethod
    def num_programs(self) -> int:
        """Number of programs that `warm_up` compiles."""

    @abc.abstractmethod
    def warm_up(self, done: Callable[[], None]) -> None:
        """Compiles all programs before the service listens.

        Args:
            done: called after each of `num_programs`.
        """

    @property
    @abc.abstractmethod
    def num_waiting(self) -> int:
        """Number of texts that wait."""

    @abc.abstractmethod
    def close(self) -> None:
        """Answers what waits, takes nothing more, and returns when all is done."""


Model = TypeVar("Model", bound=ServedModel)


def named(models: Sequence[Model], fields: Mapping[str, Any]) -> Model:
    """Finds the model that a request names; a single one needs no name.

    Raises:
        RequestError: if none has the name.
    """
    name, names = fields.get("model"), [model.name for model in models]
    if name in names:
        return models[names.index(name)]
    if name is None and len(models) == 1:
        return models[0]
    status, what = (422, "model is missing") if name is None else (404, f"no model {name!r:.40}")
    raise RequestError(status, f"{what}: give one of {', '.join(names)}")
