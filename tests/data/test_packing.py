import numpy as np
import pytest
from batch_contents import pairs_of
from hypothesis import given, settings
from hypothesis import strategies as st

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.packed_batches import assign_rows, pack, plan_rows, redraw
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import EOS, PAD

ROW_LENGTH = 13
LENGTHS = st.lists(st.tuples(st.integers(1, ROW_LENGTH), st.integers(0, ROW_LENGTH)), max_size=43)


def make_pairs(lengths: list[tuple[int, int]]) -> TokenizedPairs:
    """Pairs of random ids, so that no two are alike."""
    rng = np.random.default_rng(0)
    source, target = (
        TokenizedText.of(
            [*rng.integers(3, 10**6, size - 1).tolist(), EOS] if (size := pair[side]) else []
            for pair in lengths
        )
        for side in (0, 1)
    )
    return TokenizedPairs(source, target)


def sentence(text: TokenizedText, index: int) -> tuple[int, ...]:
    return tuple(text.tokens[text.offsets[index] : text.offsets[index + 1]].tolist())


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 50))
def test_no_row_exceeds_its_length_on_either_side(lengths, window):
    pairs = make_pairs(lengths)
    rows = assign_rows(pairs.source.lengths, pairs.target.lengths, ROW_LENGTH, window)
    assert rows.shape == (len(lengths),)
    for side in pairs[:2]:
        assert (np.bincount(rows, weights=side.lengths, minlength=1) <= ROW_LENGTH).all()
    # No number is left out.
    assert set(rows.tolist()) == set(range(len(set(rows.tolist()))))
    # Pairs of two windows share no row.
    windows = [set(rows[start : start + window].tolist()) for start in range(0, len(rows), window)]
    assert sum(map(len, windows)) == len(set().union(*windows))


def every_row(pairs: TokenizedPairs, seed: int, redraws: int = 0) -> Batch:
    rows = plan_rows(pairs, ROW_LENGTH, seed)
    for _ in range(redraws):
        rows = redraw(rows, pairs, np.random.default_rng(seed))
    return pack(pairs, rows, np.arange(rows.num_rows), ROW_LENGTH)


@settings(deadline=None)
@given(LENGTHS, st.integers(0, 2), st.integers(0, 2))
def test_every_pair_stands_once_in_a_row_with_one_segment_on_both_sides(lengths, seed, redraws):
    pairs = make_pairs(lengths)
    batch = every_row(pairs, seed, redraws)
    sentences = (
        (sentence(pairs.source, i), sentence(pairs.target, i)) for i in range(len(lengths))
    )
    assert pairs_of(batch) == sorted(sentences)
    assert ((batch.source == PAD) == (batch.source_segments == 0)).all()
    assert ((batch.target == PAD) == (batch.target_segments == 0)).all()


@settings(deadline=None)
@given(LENGTHS)
def test_segments_are_contiguous_and_in_order_and_padding_comes_last(lengths):
    for segments in every_row(make_pairs(lengths), seed=0)[2:]:
        assert segments is not None
        last_first = np.where(segments == 0, np.iinfo(np.int32).max, segments)
        assert (np.diff(last_first, axis=1) >= 0).all()


def test_rows_are_packed_in_any_order_and_an_empty_one_holds_nothing():
    pairs = make_pairs([(3, 5), (7, 2), (11, 13), (2, 2)])
    rows = plan_rows(pairs, ROW_LENGTH, seed=0)
    whole = every_row(pairs, seed=0)
    indices = np.array([1, -1, 0, 1])
    batch = pack(pairs, rows, indices, ROW_LENGTH)
    for packed, side in zip(batch, whole, strict=True):
        assert packed is not None
        assert side is not None
        assert packed.dtype == np.int32
        assert np.array_equal(packed, np.where(indices[:, None] < 0, 0, side[indices]))


def test_pairs_of_equal_lengths_alone_exchange_their_places():
    pairs = make_pairs(np.random.default_rng(1).integers(1, 5, (997, 2)).tolist())
    rows = plan_rows(pairs, ROW_LENGTH, seed=0)
    others = redraw(rows, pairs, np.random.default_rng(2))
    assert np.array_equal(rows.offsets, others.offsets)
    for side in pairs[:2]:
        assert np.array_equal(side.lengths[rows.places], side.lengths[others.places])
    # Of 16 kinds of pairs, one in 62 is expected to stay where it was.
    assert np.mean(rows.places == others.places) < 0.1
    again = redraw(rows, pairs, np.random.default_rng(2))
    assert np.array_equal(others.places, again.places)


def test_long_sentences_side_by_side_are_spread_over_the_windows():
    lengths = np.repeat([11, 2], 1009)
    pairs = make_pairs(np.stack([lengths, lengths], axis=1).tolist())
    sorted_file = assign_rows(lengths, lengths, ROW_LENGTH)
    assert sorted_file.max() + 1 > 1.1 * plan_rows(pairs, ROW_LENGTH, seed=0).num_rows


def test_the_longest_come_first_into_the_first_row_with_room():
    lengths = np.array([2, 3, 5, 7, 11])
    assert assign_rows(lengths, lengths, 13).tolist() == [0, 2, 1, 1, 0]
    # A row that is full on one side takes nothing more.
    assert assign_rows(lengths, np.array([13, 2, 2, 2, 2]), 13).tolist() == [0, 3, 2, 2, 1]
    assert assign_rows(lengths, lengths, 13, window=2).tolist() == [0, 0, 1, 1, 2]


def test_a_sentence_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="a sentence of 14 tokens exceeds row_length 13"):
        assign_rows(np.array([2, 3]), np.array([14, 3]), ROW_LENGTH)
