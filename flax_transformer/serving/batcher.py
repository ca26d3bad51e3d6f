"""Batches of inputs that arrive one by one, for a model that answers many at a time."""

import dataclasses
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

# The time of a batch hardly depends on its rows up to this number.
FEW = 4


class Kind(NamedTuple):
    """What inputs must have in common to share a batch.

    Attributes:
        size: by which answering takes longer, such as a padded length.
        options: such as those of the search.
    """

    size: int
    options: Hashable = None


class FullError(Exception):
    """More inputs wait than the limit allows."""


class ClosedError(Exception):
    """The batcher does not take inputs any more."""


@dataclasses.dataclass
class _Waiting:
    """An input that waits for its answer."""

    value: Any
    kind: Kind
    arrived: float
    due: float
    future: "Future[Any]"


class Batcher:
    """Answers single inputs in batches, in a thread of its own.

    The next batch has the kind of the input that is due first. An input is due some time after it
    has arrived, which grows with its size: small ones go before large ones that came a little
    earlier, and none waits forever. If more inputs wait than `FEW`, a batch is one of `sizes` in
    number, and the others wait for the next: rows without an input would cost as much as theirs.

    Args:
        answer: computes the answers to inputs of one kind; called in the thread. An answer may be
            an exception, which its input's future raises.
        sizes: numbers of rows of a batch, in ascending order.
        capacity: number of inputs that may wait.
        delay: seconds that the first input waits for others while nothing is computed.
        patience: seconds by which an input of size 1 is due later.

    Attributes:
        num_waiting: inputs that wait.
    """

    def __init__(
        self,
        answer: Callable[[Kind, list[Any]], Sequence[Any]],
        *,
        sizes: Sequence[int] = (64,),
        capacity: int = 4096,
        delay: float = 0.003,
        patience: float = 0.001,
    ):
        self._answer, self._sizes, self._capacity = answer, sizes, capacity
        self._delay, self._patience = delay, patience
        self._waiting: list[_Waiting] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Number of inputs that wait."""
        return len(self._waiting)

    def submit(self, inputs: Sequence[tuple[Any, Kind]]) -> list["Future[Any]"]:
        """Gives inputs to be answered, all or none.

        Raises:
            FullError: if too many inputs wait.
            ClosedError: after `close`.
        """
        now = time.monotonic()
        given = [
            _Waiting(value, kind, now, now + self._patience * kind.size, Future())
            for value, kind in inputs
        ]
        with self._changed:
            if self._is_closed:
                raise ClosedError
            if len(self._waiting) + len(given) > self._capacity:
                raise FullError
            self._waiting += given
            self._changed.notify()
        return [one.future for one in given]

    def close(self) -> None:
        """Answers what waits, takes nothing more, and returns when all is done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            # Those whose request has ended meanwhile are dropped.
            batch = [one for one in batch if one.future.set_running_or_notify_cancel()]
            for one, answer in zip(batch, self._answers(batch), strict=True):
                if isinstance(answer, Exception):
                    one.future.set_exception(answer)
                else:
                    one.future.set_result(answer)

    def _answers(self, batch: list[_Waiting]) -> Sequence[Any]:
        if not batch:
            return []
        try:
            return self._answer(batch[0].kind, [one.value for one in batch])
        except Exception as error:  # one batch fails, the service goes on
            return [error] * len(batch)

    def _next_batch(self) -> list[_Waiting]:
        """Waits for inputs, and takes those of the kind that is due first; none after closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            first = min((one.arrived for one in self._waiting), default=0.0)
            self._changed.wait_for(
                lambda: len(self._waiting) >= self._sizes[-1] or self._is_closed,
                first + self._delay - time.monotonic(),
            )
            ordered = sorted(self._waiting, key=lambda one: one.due)
            alike = [one for one in ordered if one.kind == ordered[0].kind]
            batch = alike[: self._number(len(alike))]
            taken = set(map(id, batch))
            self._waiting = [one for one in self._waiting if id(one) not in taken]
            return batch

    def _number(self, waiting: int) -> int:
        """How many of the inputs that wait share the next batch."""
        number = min(waiting, self._sizes[-1])
        return max((size for size in self._sizes if FEW < size <= number), default=number)
