import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flax_transformer.data.packing import assign_rows, pack
from flax_transformer.data.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokenizer import EOS, PAD

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


def sentence(text: TokenizedText, index: int) -> list[int]:
    return text.tokens[text.offsets[index] : text.offsets[index + 1]].tolist()


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


@given(LENGTHS, st.integers(1, 50))
def test_every_pair_stands_once_in_its_row_with_one_segment_on_both_sides(lengths, window):
    pairs = make_pairs(lengths)
    rows = assign_rows(pairs.source.lengths, pairs.target.lengths, ROW_LENGTH, window)
    packed = pack(pairs, rows, ROW_LENGTH)
    for row in range(rows.max(initial=-1) + 1):
        for segment, index in enumerate(np.flatnonzero(rows == row).tolist(), start=1):
            in_source = packed.source_segments[row] == segment
            in_target = packed.target_segments[row] == segment
            assert packed.source[row][in_source].tolist() == sentence(pairs.source, index)
            assert packed.target[row][in_target].tolist() == sentence(pairs.target, index)
    assert np.count_nonzero(packed.source_segments) == pairs.source.tokens.size
    assert np.count_nonzero(packed.target_segments) == pairs.target.tokens.size
    assert ((packed.source == PAD) == (packed.source_segments == 0)).all()
    assert ((packed.target == PAD) == (packed.target_segments == 0)).all()


@given(LENGTHS)
def test_segments_come_in_order_and_padding_last(lengths):
    pairs = make_pairs(lengths)
    rows = assign_rows(pairs.source.lengths, pairs.target.lengths, ROW_LENGTH)
    packed = pack(pairs, rows, ROW_LENGTH)
    for segments in (packed.source_segments, packed.target_segments):
        last_first = np.where(segments == 0, np.iinfo(np.int32).max, segments)
        assert (np.diff(last_first, axis=1) >= 0).all()


def test_the_longest_come_first_into_the_first_row_with_room():
    lengths = np.array([2, 3, 5, 7, 11])
    assert assign_rows(lengths, lengths, 13).tolist() == [0, 2, 1, 1, 0]
    # A row that is full on one side takes nothing more.
    assert assign_rows(lengths, np.array([13, 2, 2, 2, 2]), 13).tolist() == [0, 3, 2, 2, 1]
    assert assign_rows(lengths, lengths, 13, window=2).tolist() == [0, 0, 1, 1, 2]


def test_the_share_of_padding_counts_both_sides():
    pairs = make_pairs([(3, 5), (7, 2)])
    packed = pack(pairs, np.array([0, 0]), 11)
    assert packed.source.shape == (1, 11)
    assert packed.padding_share() == pytest.approx(1 - 17 / 22)


def test_a_sentence_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="a sentence of 14 tokens exceeds row_length 13"):
        assign_rows(np.array([2, 3]), np.array([14, 3]), ROW_LENGTH)
