import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.functional import segment_lengths, segment_mask, segment_positions

ROWS = {
    "plain": [1, 1, 1, 1, 1, 0, 0],
    "left-padded": [0, 0, 0, 1, 1, 1, 1],
    "packed": [1, 1, 2, 2, 2, 3, 0],
    "padding alone": [0] * 7,
    "packed with padding between": [1, 1, 0, 2, 2, 0, 3],
}


def runs(segments):
    """For each token, the places of the run of equal ids that it belongs to."""
    places = [[0]]
    for index in range(1, len(segments)):
        if segments[index] != segments[index - 1]:
            places.append([])
        places[-1].append(index)
    return [run for run in places for _ in run]


@pytest.mark.parametrize("name", ROWS)
def test_tokens_are_counted_within_their_own_segment(name):
    segments = ROWS[name]
    expected = [run.index(place) for place, run in enumerate(runs(segments))]
    assert segment_positions(jnp.array(segments)).tolist() == expected


@pytest.mark.parametrize("name", ROWS)
def test_a_length_is_that_of_the_own_segment(name):
    segments = ROWS[name]
    assert segment_lengths(jnp.array(segments)).tolist() == [len(run) for run in runs(segments)]


def test_rows_of_a_batch_do_not_mix():
    rows = jnp.array(list(ROWS.values()))
    for function in (segment_positions, segment_lengths):
        one_by_one = jnp.stack([function(row) for row in rows])
        np.testing.assert_array_equal(jax.vmap(function)(rows), one_by_one)


def test_a_token_sees_its_own_segment_and_no_padding():
    query, key = jnp.array([[1, 2, 0], [1, 1, 2]]), jnp.array([[1, 2, 2, 0], [0, 0, 1, 3]])
    mask = segment_mask(query, key)
    assert mask.shape == (2, 3, 4)
    for (row, i, j), allowed in np.ndenumerate(mask):
        assert allowed == (query[row, i] == key[row, j] and key[row, j] != 0)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("function", [segment_positions, segment_lengths])
@pytest.mark.parametrize("shape", [(2, 7), (0,)])
def test_what_is_no_row_is_refused(function, shape):
    with pytest.raises(ValueError, match=rf"segments \({shape[0]},.*must be one row"):
        function(jnp.zeros(shape, int))


@pytest.mark.usefixtures("unchecked_types")
def test_batches_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 5\) and key_segments \(3, 5\) differ"):
        segment_mask(jnp.ones((2, 5), int), jnp.ones((3, 5), int))
