import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from flax_transformer.serving.batcher import Batcher, ClosedError, FullError, Kind

pytestmark = pytest.mark.platforms
SECONDS = 20


class Recorder:
    """Doubles numbers, and notes its batches; it waits until it is let go."""

    def __init__(self, is_open: bool = True):
        self.batches: list[tuple[Kind, list[Any]]] = []
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        if is_open:
            self.may_end.set()

    def __call__(self, kind: Kind, values: list[Any]) -> Sequence[Any]:
        self.batches.append((kind, values))
        self.has_begun.set()
        assert self.may_end.wait(SECONDS)
        return [ValueError(value) if value < 0 else 2 * value for value in values]


def given(*values: int, size: int = 1, options: Any = None) -> list[tuple[int, Kind]]:
    return [(value, Kind(size, options)) for value in values]


def results(futures: Sequence[Any]) -> list[Any]:
    return [future.result(SECONDS) for future in futures]


def test_every_input_gets_its_own_answer_from_many_threads():
    batcher, found = Batcher(Recorder(), sizes=(1, 4, 7)), {}

    def ask(first: int) -> None:
        for value in range(first, first + 50):
            found[value] = batcher.submit(given(value, size=value % 3))[0].result(SECONDS)

    threads = [threading.Thread(target=ask, args=(100 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()
    assert found == {value: 2 * value for value in found}
    assert len(found) == 400


def test_what_arrives_while_a_batch_is_computed_is_the_next_batch():
    record = Recorder(is_open=False)
    batcher = Batcher(record, sizes=(1, 2, 3))
    first = batcher.submit(given(1))
    assert record.has_begun.wait(SECONDS)
    others = batcher.submit(given(2, 3, 4, 5))
    record.may_end.set()
    assert results([*first, *others]) == [2, 4, 6, 8, 10]
    assert [values for _, values in record.batches] == [[1], [2, 3, 4], [5]]
    batcher.close()


def test_a_batch_of_many_has_no_empty_rows():
    record = Recorder(is_open=False)
    batcher = Batcher(record, sizes=(1, 4, 8, 16))
    first = batcher.submit(given(0))
    assert record.has_begun.wait(SECONDS)
    others = batcher.submit(given(*range(1, 32)))
    record.may_end.set()
    assert results([*first, *others]) == [2 * value for value in range(32)]
    # The last 7 are few enough to share a batch of 8 rows.
    assert [len(values) for _, values in record.batches] == [1, 16, 8, 7]
    batcher.close()


def test_only_equal_kinds_share_a_batch_and_small_ones_go_first():
    record = Recorder(is_open=False)
    # An input of size 100 is due a minute later than one of size 1, whatever the speed of a test.
    batcher = Batcher(record, patience=0.6)
    first = batcher.submit(given(0))
    assert record.has_begun.wait(SECONDS)
    large = batcher.submit(given(1, 2, size=100))
    small = batcher.submit(given(3, 4, size=1))
    other = batcher.submit(given(5, size=1, options="other"))
    record.may_end.set()
    results([*first, *large, *small, *other])
    assert [values for _, values in record.batches] == [[0], [3, 4], [5], [1, 2]]
    batcher.close()


def test_an_error_is_that_of_its_input():
    batcher = Batcher(Recorder())
    good, bad = batcher.submit(given(3, -1))
    assert good.result(SECONDS) == 6
    with pytest.raises(ValueError, match="-1"):
        bad.result(SECONDS)
    batcher.close()


def test_a_failing_batch_does_not_stop_the_next():
    def answer(kind: Kind, values: list[Any]) -> Sequence[Any]:
        if kind.options == "bad":
            raise RuntimeError("no memory")
        return values

    batcher = Batcher(answer)
    with pytest.raises(RuntimeError, match="no memory"):
        batcher.submit(given(1, options="bad"))[0].result(SECONDS)
    assert results(batcher.submit(given(1))) == [1]
    batcher.close()


def test_all_or_none_of_a_request_wait():
    record = Recorder(is_open=False)
    batcher = Batcher(record, capacity=3)
    first = batcher.submit(given(0))
    assert record.has_begun.wait(SECONDS)
    waiting = batcher.submit(given(1, 2))
    with pytest.raises(FullError):
        batcher.submit(given(3, 4))
    assert batcher.num_waiting == 2
    waiting += batcher.submit(given(5))
    record.may_end.set()
    assert results([*first, *waiting]) == [0, 2, 4, 10]
    batcher.close()


def test_an_input_that_nobody_waits_for_is_not_computed():
    record = Recorder(is_open=False)
    batcher = Batcher(record)
    first = batcher.submit(given(0))
    assert record.has_begun.wait(SECONDS)
    left, kept = batcher.submit(given(1, 2))
    assert left.cancel()
    record.may_end.set()
    assert results([*first, kept]) == [0, 4]
    assert [values for _, values in record.batches] == [[0], [2]]
    batcher.close()


def test_closing_answers_what_waits_and_takes_nothing_more():
    record = Recorder(is_open=False)
    batcher = Batcher(record, sizes=(1,))
    futures = batcher.submit(given(1, 2, 3))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while True:
        try:
            batcher.submit(given(4))[0].cancel()
            time.sleep(0.01)
        except ClosedError:
            break
    record.may_end.set()
    closing.join(SECONDS)
    assert results(futures) == [2, 4, 6]
