"""A trained model whose answers are computed in batches."""

import abc
import asyncio
import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from flax_transformer.errors import UserError
from flax_transformer.serving.batcher import Batcher, ClosedError, FullError, Kind
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.served_model import ServedModel

# Rows of a batch: few sizes, so that few programs are compiled.
ROWS = (1, 4, 8, 16, 32, 64)


class BatchedModel(ServedModel):
    """A loaded model, and the batches of inputs that it answers.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.

    Attributes:
        batcher: of its inputs.
        unit: what its inputs are, in the plural.
        all_options: those whose programs are compiled before the service listens.
    """

    unit: str
    all_options: Sequence[Hashable] = (None,)

    def __init__(self, name: str, predictor: Any, limits: LimitsConfig):
        super().__init__(name, predictor, limits)
        self.batcher = Batcher(self._answer, sizes=ROWS, capacity=limits.waiting)

    @abc.abstractmethod
    def answer(self, inputs: list[Any], options: Any) -> Sequence[Any]:
        """Computes the answers to inputs with the same options."""

    @abc.abstractmethod
    def sizes(self) -> list[int]:
        """Returns the sizes of inputs; those of one size share a batch."""

    @abc.abstractmethod
    def size_of(self, value: Any) -> int:
        """Returns the size of an input.

        Raises:
            RequestError: if the model does not read it.
        """

    @abc.abstractmethod
    def example(self, size: int) -> Any:
        """Makes an input of a size."""

    def check_number(self, inputs: Sequence[Any]) -> None:
        """Rejects more inputs than a request may have.

        Raises:
            RequestError: if there are too many.
        """
        number, most = len(inputs), self.limits.texts
        if number > most:
            raise RequestError(
                413, f"{number} {self.unit} are more than {most}: send several requests"
            )

    async def ask(self, inputs: Sequence[Any], options: Hashable = None) -> list[Any]:
        """Answers the inputs of a request, each in a batch with those of other requests.

        Args:
            inputs: of the request.
            options: of `answer`; inputs with the same share a batch.

        Raises:
            RequestError: if there are too many inputs, one is too long, too many wait, the answer
                takes too long, or the service ends.
        """
        self.check_number(inputs)
        try:
            given = [(value, Kind(self.size_of(value), options)) for value in inputs]
            futures = self.batcher.submit(given)
        except UserError as error:
            raise RequestError(422, str(error)) from error
        except FullError as error:
            raise RequestError(429, f"too many {self.unit} are waiting: try again later") from error
        except ClosedError as error:
            raise RequestError(503, "the service ends: ask it again later") from error
        try:
            async with asyncio.timeout(self.limits.seconds):
                return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))
        except TimeoutError as error:
            raise self.late() from error
        except UserError as error:
            raise RequestError(422, str(error)) from error

    def warm_up(self, done: Callable[[], None]) -> None:
        """Compiles the programs of all sizes and numbers of rows.

        Args:
            done: called after each of `num_programs`.
        """
        for size, rows, options in itertools.product(self.sizes(), ROWS, self.all_options):
            self._answer(Kind(size, options), [self.example(size)] * rows)
            done()

    @property
    def num_programs(self) -> int:
        """Number of shapes."""
        return len(self.sizes()) * len(ROWS) * len(self.all_options)

    @property
    def num_waiting(self) -> int:
        """Number of inputs that wait."""
        return self.batcher.num_waiting

    def close(self) -> None:
        """Answers what waits, takes nothing more, and returns when all is done."""
        self.batcher.close()

    def _answer(self, kind: Kind, inputs: list[Any]) -> Sequence[Any]:
        """Answers a batch; an input that the model refuses hinders no other request."""
        try:
            return self._answer_all(kind, inputs)
        except UserError as error:
            if len(inputs) == 1:
                return [error]
        return [answer for value in inputs for answer in self._answer(kind, [value])]

    def _answer_all(self, kind: Kind, inputs: list[Any]) -> Sequence[Any]:
        """Answers inputs; copies of the first fill the rows of a batch."""
        rows = next(size for size in ROWS if size >= len(inputs))
        filled = [*inputs, *[inputs[0]] * (rows - len(inputs))]
        return self.answer(filled, kind.options)[: len(inputs)]
