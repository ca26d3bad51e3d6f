import numpy as np
import pytest

from flax_transformer.data.batches.window_batches import WindowBatches
from flax_transformer.errors import UserError

STREAM = np.arange(3, 3 + 211, dtype=np.int32)
LENGTH, ROWS = 7, 5


def make(**options) -> WindowBatches:
    return WindowBatches(STREAM, LENGTH, ROWS, **options)


def test_a_row_is_one_piece_of_the_stream():
    batches = make()
    for step in range(3 * batches.batches_per_epoch):
        tokens = batches[step].tokens
        assert tokens.shape == (ROWS, LENGTH + 1)
        assert tokens.dtype == np.int32
        np.testing.assert_array_equal(np.diff(tokens), 1)
        assert STREAM[0] <= tokens.min() <= tokens.max() <= STREAM[-1]


def test_an_epoch_predicts_no_token_twice_and_nearly_all():
    batches = make(seed=3)
    for epoch in range(3):
        first = epoch * batches.batches_per_epoch
        steps = range(first, first + batches.batches_per_epoch)
        predicted = np.concatenate([batches[step].tokens[:, 1:].ravel() for step in steps])
        assert len(set(predicted.tolist())) == len(predicted)
        # Left out: less than a batch, less than a piece before the start, less than one at the end.
        assert len(predicted) > len(STREAM) - (ROWS + 2) * LENGTH


def test_epochs_start_elsewhere_and_a_step_depends_on_the_seed_alone():
    batches = make(seed=3)
    starts = {
        int(batches[epoch * batches.batches_per_epoch].tokens[0, 0]) % LENGTH for epoch in range(11)
    }
    assert len(starts) > 3
    np.testing.assert_array_equal(make(seed=3)[9].tokens, batches[9].tokens)
    assert (make(seed=4)[9].tokens != batches[9].tokens).any()


def test_processes_share_the_rows_of_a_batch():
    batches = make()
    parts = [batches.shard([process], 5)[2].tokens for process in range(5)]
    np.testing.assert_array_equal(np.concatenate(parts), batches[2].tokens)
    with pytest.raises(ValueError, match=r"\[5\] rows do not divide by 2 parts"):
        batches.shard([0], 2)


def test_what_makes_no_batch_is_refused():
    with pytest.raises(UserError, match="41 tokens, which do not fill a batch of 5 pieces of 7"):
        WindowBatches(STREAM[:41], LENGTH, ROWS)
    assert WindowBatches(STREAM[:42], LENGTH, ROWS).batches_per_epoch == 1


@pytest.mark.parametrize("length", [5, 7, 210, 300])
def test_an_evaluation_predicts_every_token_but_the_first_once(length):
    evaluation = WindowBatches(STREAM, length, batch_size=3, seed=None)
    rows, batches = zip(*evaluation.epoch(), strict=True)
    pieces = [row for row in np.concatenate(rows).tolist() if row >= 0]
    assert pieces == list(range(len(pieces)))
    assert {batch.tokens.shape for batch in batches} == {(3, length + 1)}
    predicted = np.concatenate([batch.tokens[:, 1:].ravel() for batch in batches])
    np.testing.assert_array_equal(predicted[predicted > 0], STREAM[1:])
    for batch in batches:
        inner = (batch.tokens[:, :-1] > 0) & (batch.tokens[:, 1:] > 0)
        assert (np.diff(batch.tokens)[inner] == 1).all()
    assert sum(batch.count() for batch in batches) == len(STREAM) - 1
