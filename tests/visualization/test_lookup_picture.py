import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.visualization.matrices import plot_lookup

VOCAB, D_MODEL = 7, 3
TABLE = np.random.default_rng(0).normal(size=(VOCAB, D_MODEL)).astype(np.float32)
WORDS = [f"w{i}" for i in range(VOCAB)]
TOKENS = [5, 0, 5, 2, 6]


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_one_hot_vectors_pick_rows():
    figure = plot_lookup(jnp.array(TOKENS), jnp.array(TABLE), WORDS)
    panels = [axes for axes in figure.axes if axes.images]
    drawn = [np.asarray(axes.images[0].get_array()) for axes in panels]
    np.testing.assert_array_equal(drawn[0], np.eye(VOCAB)[TOKENS])
    np.testing.assert_array_equal(drawn[1], TABLE)
    np.testing.assert_array_equal(drawn[2], TABLE[TOKENS])
    text = [WORDS[token] for token in TOKENS]
    assert [names(axes.yaxis) for axes in panels] == [text, WORDS, text]
    assert names(panels[0].xaxis) == [str(token) for token in range(VOCAB)]


@pytest.mark.parametrize(
    ("tokens", "words", "message"),
    [
        ([1], WORDS[:2], r"2 words for a table \(7, 3\)"),
        ([1, VOCAB], WORDS, r"tokens \[1, 7\] must be a row of ids in \[0, 7\)"),
        ([-1], WORDS, r"tokens \[-1\] must be"),
        ([], WORDS, r"tokens \[\] must be"),
    ],
)
def test_what_has_no_row_is_refused(tokens, words, message):
    with pytest.raises(ValueError, match=message):
        plot_lookup(jnp.array(tokens, jnp.int32), jnp.array(TABLE), words)
