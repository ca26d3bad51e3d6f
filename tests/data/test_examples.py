import itertools

import numpy as np
import pytest

from flax_transformer.data.batches.batch import NO_CLASS
from flax_transformer.data.batches.examples import (
    ArrayInputs,
    ExampleBatches,
    Examples,
    TextInputs,
)
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import UserError

NUMBER = 11


@pytest.fixture
def examples() -> Examples:
    """Eleven images, each of its own number, and classes that follow from it."""
    images = np.arange(1, NUMBER + 1, dtype=np.uint8)[:, None, None, None] * np.ones(
        (2, 3, 1), np.uint8
    )
    return Examples(ArrayInputs(images), np.arange(NUMBER) % 3, ("a", "b", "c"))


def numbers(batch) -> list[int]:
    """Which examples stand in a batch, -1 for an empty row, after looking at their labels."""
    found = batch.inputs.max(axis=(1, 2, 3)).astype(int) - 1
    for number, label in zip(found, batch.labels, strict=True):
        assert label == (NO_CLASS if number < 0 else number % 3)
    return found.tolist()


def test_arrays_are_copied_and_empty_rows_are_zero():
    array = np.arange(1, 7, dtype=np.uint8).reshape(3, 2)
    taken = ArrayInputs(array).take(np.array([2, -1, 0]))[0]
    assert taken.tolist() == [[5, 6], [0, 0], [1, 2]]
    assert array.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert len(ArrayInputs(array)) == 3


def test_arrays_that_cannot_be_written_are_taken_from():
    still = np.broadcast_to(np.array([[7], [9]], np.uint8), (2, 3))
    assert ArrayInputs(still).take(np.array([-1, 1]))[0].tolist() == [[0, 0, 0], [9, 9, 9]]


def test_every_example_comes_once_an_epoch(examples):
    batches = ExampleBatches(examples, 4, seed=5)
    assert batches.batches_per_epoch == 3
    epochs = [[numbers(batches[3 * epoch + i]) for i in range(3)] for epoch in range(4)]
    for epoch in epochs:
        assert sorted(itertools.chain(*epoch)) == [-1, *range(NUMBER)]
    assert len({str(epoch) for epoch in epochs}) == 4


def test_a_batch_is_a_function_of_the_seed_and_the_step(examples):
    first, again, other = (ExampleBatches(examples, 4, seed=seed) for seed in (5, 5, 6))
    steps = [7, 0, 4, 1]
    assert [numbers(first[i]) for i in steps] == [numbers(again[i]) for i in reversed(steps)][::-1]
    assert [numbers(first[i]) for i in range(9)] != [numbers(other[i]) for i in range(9)]


def test_rows_that_fill_a_batch_are_not_counted(examples):
    batches = ExampleBatches(examples, 4)
    counts = sorted(batches[i].count() for i in range(3))
    assert counts == [3, 4, 4]
    assert batches[0].describe() == "4 rows of 2 x 3 x 1"


def test_processes_share_a_batch(examples):
    batches = ExampleBatches(examples, 6)
    for step in range(5):
        parts = [numbers(batches.shard([process], 3)[step]) for process in range(3)]
        assert [len(part) for part in parts] == [2, 2, 2]
        assert list(itertools.chain(*parts)) == numbers(batches[step])
    with pytest.raises(ValueError, match=r"\[6\] rows do not divide by 4 parts"):
        batches.shard([0], 4)


def test_rows_are_filled_to_a_multiple(examples):
    batches, filled = (ExampleBatches(examples, 6), ExampleBatches(examples, 6).filled(4))
    for step in range(5):
        batch, more = batches[step], filled[step]
        assert (len(batch.labels), len(more.labels)) == (6, 8)
        for array, expected in zip(more, batch, strict=True):
            assert expected is None or np.array_equal(array[:6], expected)
        assert more.labels[6:].tolist() == [-1, -1]
        parts = [numbers(filled.shard([process], 2)[step]) for process in range(2)]
        assert [*parts[0], *parts[1]] == numbers(more)


def test_impossible_batches_are_refused(examples):
    nothing = Examples(ArrayInputs(np.zeros((0, 2), np.uint8)), np.zeros(0, int), ("a",))
    with pytest.raises(UserError, match="the training split has no example"):
        ExampleBatches(nothing, 2)


def test_an_epoch_is_described(examples):
    assert ExampleBatches(examples, 4).describe("2 cpu device(s)") == [
        "11 examples of 3 classes; 3 updates an epoch",
        "4 examples an update over 2 cpu device(s)",
    ]


def test_evaluation_takes_every_example_once(examples):
    found = list(ExampleBatches(examples, 4, seed=None).epoch())
    for indices, batch in found:
        assert numbers(batch) == indices.tolist()
    indices = np.concatenate([indices for indices, _ in found])
    assert sorted(indices.tolist()) == [-1, *range(NUMBER)]


def test_texts_of_a_batch_are_about_equally_long():
    lengths = [3, 40, 5, 33, 4, 60, 2, 50]
    texts = TokenizedText.of([[7] * length for length in lengths])
    examples = Examples(TextInputs(texts, 64), np.arange(8), tuple("abcdefgh"))
    batches = ExampleBatches(examples, 4)
    assert sorted(batches[step].inputs.shape for step in range(2)) == [(4, 16), (4, 64)]
