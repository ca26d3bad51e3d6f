from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from batch_contents import Pair, pairs_of, training_batches
from hypothesis import given, settings
from hypothesis import strategies as st

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import EOS
from flax_transformer.errors import UserError

LENGTHS = st.lists(st.tuples(st.integers(1, 17), st.integers(1, 19)), min_size=1, max_size=61)


def make_pairs(lengths) -> TokenizedPairs:
    """Pairs of the given lengths; tokens count upwards, so every pair is another."""
    sides = []
    for side in zip(*lengths, strict=True):
        starts = np.cumsum([3, *side])
        sides.append(
            TokenizedText.of(
                [*range(start, start + length - 1), EOS]
                for start, length in zip(starts[:-1], side, strict=True)
            )
        )
    return TokenizedPairs(*sides)


def some_pairs(num_pairs: int = 211) -> TokenizedPairs:
    return make_pairs(np.random.default_rng(0).integers(2, 23, size=(num_pairs, 2)).tolist())


def everything(pairs: TokenizedPairs) -> list[Pair]:
    indices = np.arange(pairs.num_pairs)
    sides = pairs.source.pad(indices, 31), pairs.target.pad(indices, 31)
    return pairs_of(Batch(*(side[0] for side in sides), *(side[1] for side in sides)))


def evaluate(*given) -> list:
    return list(LengthBatches.for_evaluation(*given).epoch())


def same(one, other) -> bool:
    return all(np.array_equal(*sides) for sides in zip(one, other, strict=True))


@settings(deadline=None)
@given(
    LENGTHS,
    st.integers(1, 5),
    st.sampled_from([1, 2, 3]),
    st.integers(0, 2),
    st.sampled_from([None, 19, 22]),
)
def test_every_epoch_holds_every_pair_once(lengths, num_buckets, multiple, epoch, row_length):
    pairs = make_pairs(lengths)
    batches = training_batches(pairs, 67, num_buckets, row_length=row_length).filled(multiple)
    size = batches.batches_per_epoch
    epoch_batches = [batches[step] for step in range(epoch * size, (epoch + 1) * size)]
    assert pairs_of(*epoch_batches) == everything(pairs)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 5))
def test_batches_are_within_budget_and_of_few_shapes(lengths, num_buckets):
    batches = training_batches(make_pairs(lengths), 67, num_buckets)
    epoch = [batches[step] for step in range(batches.batches_per_epoch)]
    assert all(batch.target.size <= 67 for batch in epoch)
    assert all(len(batch.source) == len(batch.target) for batch in epoch)
    assert len({(batch.source.shape, batch.target.shape) for batch in epoch}) <= num_buckets


@settings(deadline=None)
@given(LENGTHS)
def test_packed_batches_are_within_budget_and_of_one_shape(lengths):
    batches = training_batches(make_pairs(lengths), 67, 5, row_length=19)
    for step in range(batches.batches_per_epoch):
        assert all(side is not None and side.shape == (3, 19) for side in batches[step])


@pytest.mark.parametrize("row_length", [None, 29])
@pytest.mark.parametrize("multiple", [2, 5, 8])
def test_filled_batches_have_the_same_pairs_in_the_same_rows(multiple, row_length):
    """So the number of devices does not change what a step learns from."""
    batches = training_batches(some_pairs(), 101, 5, row_length=row_length)
    filled = batches.filled(multiple)
    for step in range(batches.batches_per_epoch + 1):
        batch, more = batches[step], filled[step]
        rows = len(batch.target)
        assert len(more.target) == -(-rows // multiple) * multiple
        assert same([side[:rows] for side in more], batch)
        assert not any(side[rows:].any() for side in more)


def test_a_budget_too_small_for_a_packed_row_is_refused_in_one_line():
    with pytest.raises(
        UserError, match=r"^--data.tokens-per-batch 37 cannot hold a row of 38 .* 38, "
    ):
        training_batches(some_pairs(), 37, 5, row_length=38)
    with pytest.raises(ValueError, match="a sentence of 22 tokens exceeds row_length 21"):
        training_batches(some_pairs(), 75, 5, row_length=21)


def test_a_batch_of_pairs_has_as_many_rows_whatever_their_lengths():
    pairs = some_pairs(43)
    batches = training_batches(pairs, None, 5, batch_size=14)
    epoch = [batches[step] for step in range(batches.batches_per_epoch)]
    assert len(epoch) == 4
    assert all(len(batch.target) == 14 for batch in epoch)
    assert len({batch.target.shape for batch in epoch}) > 1
    assert pairs_of(*epoch) == everything(pairs)


@pytest.mark.parametrize("row_length", [None, 29])
def test_only_one_batch_of_an_epoch_has_empty_rows(row_length):
    batches = training_batches(some_pairs(), 101, 5, row_length=row_length)
    epoch = [batches[step] for step in range(batches.batches_per_epoch)]
    assert sum(not batch.target.any(axis=1).all() for batch in epoch) <= 1


@pytest.mark.parametrize("row_length", [None, 29])
def test_batches_depend_on_seed_epoch_and_step_alone(row_length):
    pairs = some_pairs()
    batches, again = (
        training_batches(pairs, 101, 5, seed=7, row_length=row_length) for _ in range(2)
    )
    steps = [3 * batches.batches_per_epoch + 2, 0, 1]
    expected = [batches[step] for step in sorted(steps)]
    assert all(
        same(*both) for both in zip(expected, [again[step] for step in sorted(steps)], strict=True)
    )
    assert same(again[0], batches[0])
    assert not same(batches[0], batches[batches.batches_per_epoch])
    assert not same(batches[0], training_batches(pairs, 101, 5, seed=8, row_length=row_length)[0])


@pytest.mark.parametrize("row_length", [None, 29])
def test_every_epoch_puts_other_pairs_together(row_length):
    batches = training_batches(some_pairs(), 101, 5, row_length=row_length)
    size = batches.batches_per_epoch
    first, second = (
        {tuple(pairs_of(batches[step])) for step in range(epoch * size, (epoch + 1) * size)}
        for epoch in range(2)
    )
    assert len(first & second) <= 1


@pytest.mark.parametrize("row_length", [None, 29])
def test_threads_reaching_over_an_epoch_get_the_same_batches(row_length):
    batches = training_batches(some_pairs(), 101, 5, row_length=row_length)
    steps = range(3 * batches.batches_per_epoch)
    with ThreadPoolExecutor(7) as pool:
        threaded = list(pool.map(batches.__getitem__, steps))
    again = training_batches(some_pairs(), 101, 5, row_length=row_length)
    assert all(same(batch, again[step]) for batch, step in zip(threaded, steps, strict=True))


@pytest.mark.parametrize("row_length", [None, 29])
def test_the_rows_of_all_processes_are_the_whole_batch(row_length):
    batches = training_batches(some_pairs(), 199, 3, row_length=row_length).filled(6)
    parts = [batches.shard([process], 3) for process in range(3)]
    for step in range(2 * batches.batches_per_epoch):
        shares = [part[step] for part in parts]
        assert same(jax.tree.map(lambda *sides: np.concatenate(sides), *shares), batches[step])


def test_rows_that_do_not_divide_by_the_processes_are_refused():
    batches = training_batches(some_pairs(), 199, 3)
    with pytest.raises(ValueError, match=r"rows do not divide by 997 parts"):
        batches.shard([0], 997)


@pytest.mark.parametrize("row_length", [None, 29])
def test_the_report_counts_what_an_epoch_holds(row_length):
    pairs = some_pairs()._replace(left_out=13)
    batches = training_batches(pairs, 101, 5, row_length=row_length)
    epoch = [batches[step] for step in range(batches.batches_per_epoch)]
    cells = sum(batch.source.size + batch.target.size for batch in epoch)
    real = sum(np.count_nonzero(side) for batch in epoch for side in (batch.source, batch.target))
    num_shapes = len({batch.source.shape + batch.target.shape for batch in epoch})
    target_tokens = sum(batch.count() for batch in epoch)
    assert batches.describe("2 cpu device(s)") == [
        f"211 sentence pairs, 13 left out; batch shapes: {num_shapes}, each compiled once; "
        f"updates an epoch: {len(epoch)}",
        f"{target_tokens / len(epoch):,.0f} target tokens an update over 2 cpu device(s), "
        f"padding {1 - real / cells:.1%}",
    ]


@settings(deadline=None)
@given(LENGTHS)
def test_evaluation_gives_every_pair_once_in_its_row(lengths):
    pairs = make_pairs(lengths)
    seen = []
    for indices, batch in evaluate(pairs, 67, 19):
        tokens, segments = pairs.source.pad(indices, batch.source.shape[1])
        assert np.array_equal(batch.source, tokens)
        assert np.array_equal(batch.source_segments, segments)
        assert np.array_equal(batch.target, pairs.target.pad(indices, batch.target.shape[1])[0])
        seen += indices[indices >= 0].tolist()
    assert sorted(seen) == list(range(len(lengths)))


def test_evaluation_shapes_are_those_of_other_sentences():
    def shapes(seed):
        lengths = np.random.default_rng(seed).integers(1, 62, size=(1009, 2)).tolist()
        return {batch.source.shape for _, batch in evaluate(make_pairs(lengths), 1024, 64)}

    assert shapes(2) == shapes(3) == {(64, 16), (32, 32), (16, 64)}


def test_a_few_sentences_make_a_batch_of_a_few_rows():
    source = TokenizedText.of([[5, EOS], [7, 11, EOS], [EOS]])
    pairs = TokenizedPairs.without_targets(source)
    (indices, batch), *others = evaluate(pairs, 4096, 128)
    assert not others
    assert batch.source.shape == (4, 16)
    assert indices.tolist() == [2, 0, 1, -1]
    assert not batch.target.any()


def test_evaluation_batches_never_exceed_the_maximum_length():
    pairs = make_pairs([(37, 5), (3, 41)])
    assert {batch.source.shape[1] for _, batch in evaluate(pairs, 4096, 41)} == {41}
    with pytest.raises(ValueError, match="sentence of 41 tokens exceeds max_length 40"):
        evaluate(pairs, 4096, 40)


def test_nothing_to_evaluate_gives_no_batch():
    assert not evaluate(TokenizedPairs.without_targets(TokenizedText.of([])), 64, 8)
