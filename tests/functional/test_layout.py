import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import lay_out, lay_out_cached, lay_out_unpadded

SEGMENTS = jnp.array([[1, 1, 2, 2, 2, 0, 0], [0, 0, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 1, 2])
def test_a_token_sees_what_it_may(causal, window):
    mask = lay_out(SEGMENTS, causal=causal, window=window).mask
    assert mask is not None
    assert mask.shape == (2, 7, 7)
    for (row, i, j), allowed in np.ndenumerate(mask):
        same = SEGMENTS[row, i] == SEGMENTS[row, j] != 0
        near = window is None or abs(j - i) < window
        assert allowed == (same and near and (j <= i or not causal))


def test_positions_and_lengths_are_those_of_the_segments():
    layout = lay_out(SEGMENTS)
    assert layout.positions is not None
    assert layout.lengths is not None
    assert layout.positions.query.tolist() == [[0, 1, 0, 1, 2, 0, 1], [0, 1, 0, 1, 2, 3, 4]]
    np.testing.assert_array_equal(layout.positions.key, layout.positions.query)
    assert layout.lengths.tolist() == [[2, 2, 3, 3, 3, 2, 2], [2, 2, 5, 5, 5, 5, 5]]
    np.testing.assert_array_equal(layout.is_token, jnp.not_equal(SEGMENTS, 0))


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize(("length", "new_length"), [(0, 7), (3, 1), (2, 3)])
def test_a_cache_lays_out_as_the_whole_does(length, new_length, window):
    """The newest tokens see the same keys, at the same positions, as in the whole sequence."""
    segments, capacity, end = SEGMENTS[1:], 11, length + new_length
    is_token = jnp.pad(segments[:, :end] != 0, ((0, 0), (0, capacity - end)))
    cached = lay_out_cached(is_token, jnp.int32(length), new_length, window=window)
    whole = lay_out(segments, causal=True, window=window)
    for layout in (cached, whole):
        assert layout.mask is not None
        assert layout.positions is not None
        assert layout.is_token is not None
    tokens = np.flatnonzero(segments[0, length:end])
    np.testing.assert_array_equal(cached.mask[:, tokens, :7], whole.mask[:, length:end][:, tokens])
    assert not cached.mask[:, :, end:].any()
    np.testing.assert_array_equal(cached.is_token, whole.is_token[:, length:end])
    np.testing.assert_array_equal(
        cached.positions.query[:, tokens], whole.positions.query[:, length:end][:, tokens]
    )
    seen = np.flatnonzero(segments[0, :end])
    np.testing.assert_array_equal(cached.positions.key[:, seen], whole.positions.key[:, seen])


def test_more_new_tokens_than_places_are_refused():
    with pytest.raises(ValueError, match=r"8 new tokens do not fit a cache \(2, 7\)"):
        lay_out_cached(jnp.ones((2, 7), bool), jnp.int32(0), 8)


def test_a_window_of_nothing_is_refused():
    with pytest.raises(ValueError, match="window must be at least 1, not 0"):
        lay_out(SEGMENTS, window=0)


@pytest.mark.usefixtures("unchecked_types")
def test_a_row_without_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"segments \(7,\) must be a batch of rows"):
        lay_out(SEGMENTS[0])
    with pytest.raises(ValueError, match=r"is_token \(7,\) must be a batch of rows"):
        lay_out_cached(SEGMENTS[0] != 0, jnp.int32(0), 1)


@pytest.mark.parametrize("window", [None, 2])
def test_tokens_alone_are_laid_out_as_one_segment_each(window):
    """Without a window there is no mask, as one that hides nothing has no effect."""
    plain = lay_out_unpadded(jnp.zeros((2, 7, 3)), window=window)
    whole = lay_out(jnp.ones((2, 7), int), window=window)
    if window is None:
        assert plain.mask is None
        assert whole.mask is not None
        assert whole.mask.all()
    else:
        np.testing.assert_array_equal(plain.mask, whole.mask)
    assert plain.positions is not None
    assert whole.positions is not None
    np.testing.assert_array_equal(plain.positions.query, whole.positions.query)
    np.testing.assert_array_equal(plain.positions.key, whole.positions.key)
    np.testing.assert_array_equal(plain.lengths, whole.lengths)
    assert plain.is_token is None
