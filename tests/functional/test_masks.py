import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import (
    causal_mask,
    combine_masks,
    padding_mask,
    token_segments,
    window_mask,
)

SEGMENTS = jnp.array([[1, 2, 0], [3, 0, 2]])


@pytest.mark.parametrize(("lengths", "offset"), [((5,), 0), ((3, 7), 0), ((3, 7), 2), ((1, 5), 4)])
def test_causal_means_not_after_the_query(lengths, offset):
    mask = causal_mask(*lengths, offset=jnp.int32(offset))
    assert mask.shape == (lengths[0], lengths[-1])
    for (query, key), allowed in np.ndenumerate(mask):
        assert allowed == (key <= query + offset)


@pytest.mark.parametrize("lengths", [(-1,), (3, -2)])
def test_negative_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match=str(lengths[-1])):
        causal_mask(*lengths)


@pytest.mark.parametrize(("lengths", "offset"), [((7,), 0), ((3, 7), 2)])
@pytest.mark.parametrize("window", [1, 2, 11])
def test_a_window_holds_the_nearest_on_either_side(lengths, offset, window):
    mask = window_mask(*lengths, window=window, offset=jnp.int32(offset))
    assert mask.shape == (lengths[0], lengths[-1])
    for (query, key), allowed in np.ndenumerate(mask):
        assert allowed == (abs(key - query - offset) < window)


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_of_nothing_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be at least 1, not {window}"):
        window_mask(5, window=window)


def test_padding_is_where_there_is_no_segment():
    mask = padding_mask(SEGMENTS)
    assert mask.shape == (2, 1, 3)
    np.testing.assert_array_equal(mask[:, 0], jnp.not_equal(SEGMENTS, 0))


@pytest.mark.parametrize("pad_id", [0, 3])
def test_tokens_are_one_segment_but_for_the_pad_id(pad_id):
    tokens = jnp.array([[5, 7, 0], [3, 0, 2]])
    np.testing.assert_array_equal(token_segments(tokens, pad_id), tokens != pad_id)


def test_combined_masks_allow_what_all_allow():
    causal, padding = causal_mask(3), padding_mask(SEGMENTS)
    combined = combine_masks(None, causal, padding)
    for (example, query, key), allowed in np.ndenumerate(combined):
        assert allowed == (causal[query, key] and padding[example, 0, key])


def test_no_mask_combines_to_no_mask():
    assert combine_masks() is None
    assert combine_masks(None, None) is None


def test_masks_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\).*\(5, 5\)"):
        combine_masks(causal_mask(3), causal_mask(5))
