"""A trained model whose answers are computed in batches of texts."""

import abc
import asyncio
import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from flax_transformer.data.batches.batches import padded_length
from flax_transformer.errors import UserError
from flax_transformer.serving.batcher import Batcher, ClosedError, FullError, Kind
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.served_model import ServedModel

# Rows of a batch: few sizes, so that few programs are compiled.
ROWS = (1, 4, 8, 16, 32, 64)


class BatchedModel(ServedModel):
    """A loaded model, and the batches of texts that it answers.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.

    Attributes:
        batcher: of its texts.
        all_options: those whose programs are compiled before the service listens.
    """

    all_options: Sequence[Hashable] = (None,)

    def __init__(self, name: str, predictor: Any, limits: LimitsConfig):
        super().__init__(name, predictor, limits)
        self.batcher = Batcher(self._answer, sizes=ROWS, capacity=limits.waiting)

    @abc.abstractmethod
    def answer(self, texts: list[str], options: Any) -> Sequence[Any]:
        """Computes the answers to texts with the same options."""

    @abc.abstractmethod
    def num_tokens(self, text: str) -> int:
        """Counts the tokens that the model reads of a text."""

    async def ask(self, texts: Sequence[str], options: Hashable = None) -> list[Any]:
        """Answers the texts of a request, each in a batch with those of other requests.

        Args:
            texts: of the request.
            options: of `answer`; texts with the same share a batch.

        Raises:
            RequestError: if there are too many texts, one is too long, too many wait, the answer
                takes too long, or the service ends.
        """
        if len(texts) > self.limits.texts:
            raise RequestError(
                413, f"{len(texts)} texts are more than {self.limits.texts}: send several requests"
            )
        try:
            given = [(text, Kind(self._size(text), options)) for text in texts]
            futures = self.batcher.submit(given)
        except UserError as error:
            raise RequestError(422, str(error)) from error
        except FullError as error:
            raise RequestError(429, "too many texts are waiting: try again later") from error
        except ClosedError as error:
            raise RequestError(503, "the service ends: ask it again later") from error
        try:
            async with asyncio.timeout(self.limits.seconds):
                return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))
        except TimeoutError as error:
            reason = f"no answer within {self.limits.seconds:g} s: try again later"
            raise RequestError(503, reason) from error
        except UserError as error:
            raise RequestError(422, str(error)) from error

    def warm_up(self, done: Callable[[], None]) -> None:
        """Compiles the programs of all lengths and numbers of rows.

        Args:
            done: called after each of `num_programs`.
        """
        for size, rows, options in itertools.product(self._sizes(), ROWS, self.all_options):
            self._answer(Kind(size, options), [self._text_of(size)] * rows)
            done()

    @property
    def num_programs(self) -> int:
        """Number of shapes."""
        return len(self._sizes()) * len(ROWS) * len(self.all_options)

    @property
    def num_waiting(self) -> int:
        """Number of texts that wait."""
        return self.batcher.num_waiting

    def close(self) -> None:
        """Answers what waits, takes nothing more, and returns when all is done."""
        self.batcher.close()

    def _sizes(self) -> list[int]:
        longest = self.max_length
        return sorted({padded_length(length, longest) for length in range(1, longest + 1)})

    def _text_of(self, size: int) -> str:
        """A text whose padded length is `size`, as far as there is one."""
        texts = (" ".join(["a"] * words) for words in range(size, 0, -1))
        return next((text for text in texts if self.num_tokens(text) <= size), "a")

    def _size(self, text: str) -> int:
        tokens, longest = self.num_tokens(text), self.max_length
        if tokens > longest:
            raise RequestError(
                413, f"a text has {tokens} tokens, but {self.name} reads {longest}: divide it"
            )
        return padded_length(max(tokens, 1), longest)

    def _answer(self, kind: Kind, texts: list[str]) -> Sequence[Any]:
        """Answers a batch; a text that the model refuses hinders no other request."""
        try:
            return self._answer_all(kind, texts)
        except UserError as error:
            if len(texts) == 1:
                return [error]
        return [answer for text in texts for answer in self._answer(kind, [text])]

    def _answer_all(self, kind: Kind, texts: list[str]) -> Sequence[Any]:
        """Answers texts; copies of the first fill the rows of a batch."""
        rows = next(size for size in ROWS if size >= len(texts))
        filled = [*texts, *[texts[0]] * (rows - len(texts))]
        return self.answer(filled, kind.options)[: len(texts)]
