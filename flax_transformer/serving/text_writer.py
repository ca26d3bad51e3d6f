"""A thread that writes texts token by token, as many as there are at a time."""

import asyncio
import collections
import contextlib
import functools
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple, TypeAlias

from flax_transformer.decoding.sampling import text_number
from flax_transformer.serving.batcher import ClosedError, FullError
from flax_transformer.serving.running_batch import Piece, RunningBatch
from flax_transformer.tasks.language_modeling.continuation import Continuation

# Prompts that are read between two steps of the texts that run: those wait meanwhile.
JOINING_AT_ONCE = 4


class Sampling(NamedTuple):
    """How tokens are chosen.

    Attributes:
        seed: of the random keys.
        temperature: 0 takes the most probable token.
        top_p: probability of the nucleus; 1: draw from all tokens.
    """

    seed: int
    temperature: float
    top_p: float


class WrittenToken(NamedTuple):
    """What has been written of a text.

    Attributes:
        place: of the text in its request.
        token: the next one.
        is_last: whether the text has ended or reached its length.
    """

    place: int
    token: int
    is_last: bool


_Item: TypeAlias = WrittenToken | Exception


class WrittenTexts:
    """The tokens of a request's texts, in the order in which they are written.

    It is made, read and cancelled in one event loop, and filled by the thread.

    Args:
        texts: of the request.
        sampling: of all of them.
    """

    def __init__(self, texts: Iterable[Continuation], sampling: Sampling):
        self.texts, self.sampling = list(texts), sampling
        self._cancelled: set[int] = set()
        self._items: asyncio.Queue[_Item] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    async def __aiter__(self) -> AsyncIterator[WrittenToken]:
        """Yields tokens until each text has ended, or was cancelled.

        Raises:
            Exception: of the thread.
        """
        going = set(range(len(self.texts)))
        while going := going - self._cancelled:
            item = await self._items.get()
            if isinstance(item, Exception):
                raise item
            if item.place not in self._cancelled:
                yield item
            if item.is_last:
                going.discard(item.place)

    def cancel(self, place: int | None = None) -> None:
        """Says that no more is needed of a text, or of any."""
        self._cancelled |= set(range(len(self.texts))) if place is None else {place}

    def is_cancelled(self, place: int) -> bool:
        """Whether a text is not needed any more."""
        return place in self._cancelled

    def deliver(self, items: list[_Item]) -> None:
        """Gives items to the reader, if it still reads; called by the thread."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._put, items)

    def _put(self, items: list[_Item]) -> None:
        for item in items:
            self._items.put_nowait(item)


class _Text(NamedTuple):
    """One text of a request."""

    request: WrittenTexts
    place: int

    @property
    def continuation(self) -> Continuation:
        return self.request.texts[self.place]


class TextWriter:
    """Writes the texts of all requests together, in a thread of its own.

    A text that comes while others are being written joins them after their next token. A text that
    outgrows what the model reads goes on from its last half, as `Generator` does.

    Args:
        batch: writes tokens; used by the thread only.
        max_length: tokens that the model reads.
        max_rows: texts that are written at the same time.
        capacity: number of texts that may wait.
        end_ids: tokens that end a text.
    """

    def __init__(
        self,
        batch: RunningBatch,
        *,
        max_length: int,
        max_rows: int,
        capacity: int,
        end_ids: tuple[int, ...],
    ):
        self._batch, self._max_length, self._max_rows = batch, max_length, max_rows
        self._capacity, self._end_ids = capacity, end_ids
        self._waiting: collections.deque[_Text] = collections.deque()
        self._running: dict[int, _Text] = {}
        self._numbers = itertools.count()
        # What each request gets after this step.
        self._items: dict[WrittenTexts, list[_Item]] = collections.defaultdict(list)
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Number of texts that wait."""
        return len(self._waiting)

    def submit(self, request: WrittenTexts) -> None:
        """Gives the texts of a request to be written, all or none.

        Raises:
            FullError: if too many texts wait.
            ClosedError: after `close`.
        """
        given = [_Text(request, place) for place in range(len(request.texts))]
        with self._changed:
            if self._is_closed:
                raise ClosedError
            if len(self._waiting) + len(given) > self._capacity:
                raise FullError
            self._waiting += given
            self._changed.notify()

    def close(self) -> None:
        """Writes what waits to its end, takes nothing more, and returns when all is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._wait():
            for text in self._joining():
                self._try(functools.partial(self._join, text), text)
            for number, text in list(self._running.items()):
                if text.request.is_cancelled(text.place):
                    self._leave(number)
            if self._running:
                self._try(self._step)
            for request, items in self._items.items():
                request.deliver(items)
            self._items.clear()

    def _wait(self) -> bool:
        """Waits for texts; False after closing, when none is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._running or self._is_closed)
            return bool(self._waiting or self._running)

    def _joining(self) -> list[_Text]:
        """Takes texts for which there are rows."""
        free = self._max_rows - len(self._running)
        with self._changed:
            number = min(free, JOINING_AT_ONCE, len(self._waiting))
            return [self._waiting.popleft() for _ in range(number)]

    def _try(self, work: Callable[[], None], *joining: _Text) -> None:
        """Works; an error is that of all texts that run or join, and the thread goes on."""
        try:
            work()
        except Exception as error:  # such as no memory
            for request in {text.request for text in (*self._running.values(), *joining)}:
                self._items[request].append(error)
            self._running.clear()
            # The programs write into the cache that they are given, so an error may leave half.
            self._batch.clear()

    def _join(self, text: _Text) -> None:
        if text.request.is_cancelled(text.place):
            return
        number = next(self._numbers)
        token = self._batch.join(number, self._piece(text))
        self._running[number] = text
        self._receive(number, token)

    def _step(self) -> None:
        for number, token in self._batch.step().items():
            self._receive(number, token)

    def _receive(self, number: int, token: int) -> None:
        """Notes a token, and frees the row of a text that has ended or outgrown its piece."""
        text = self._running[number]
        continuation = text.continuation
        continuation.add([token], 0.0, self._end_ids)
        self._items[text.request].append(WrittenToken(text.place, token, continuation.has_ended))
        if continuation.has_ended:
            self._leave(number)
        elif self._batch.num_left(number) == 0:
            self._leave(number)
            with self._changed:
                self._waiting.appendleft(text)

    def _leave(self, number: int) -> None:
        self._batch.leave(number)
        del self._running[number]

    def _piece(self, text: _Text) -> Piece:
        """The next piece of a text, with the random numbers that `Generator` gives it."""
        continuation, sampling = text.continuation, text.request.sampling
        tokens, limit = continuation.piece(self._max_length)
        numbers = (text_number(continuation.prompt), continuation.sample, len(continuation.written))
        return Piece(tokens, limit, numbers, *sampling)
