from typing import Any

import numpy as np
import pytest

from flax_transformer.visualization.encodings import plot_grid_similarity

ROWS, COLUMNS, WIDTH = 2, 3, 5
ENCODINGS = np.random.default_rng(0).normal(size=(ROWS * COLUMNS, WIDTH))


def panels(figure):
    return [axes for axes in figure.axes if axes.images and axes.get_subplotspec()]


def test_each_panel_shows_the_grid_by_similarity_to_its_place():
    found = panels(plot_grid_similarity(ENCODINGS, (ROWS, COLUMNS)))
    assert len(found) == ROWS * COLUMNS
    for place, axes in enumerate(found):
        spot: Any = axes.get_subplotspec()
        assert divmod(place, COLUMNS) == (spot.rowspan.start, spot.colspan.start)
        shown = np.asarray(axes.images[0].get_array())
        for other in range(ROWS * COLUMNS):
            one, two = ENCODINGS[place], ENCODINGS[other]
            expected = (one * two).sum() / np.sqrt((one**2).sum() * (two**2).sum())
            np.testing.assert_allclose(shown[divmod(other, COLUMNS)], expected, rtol=1e-12)
    assert len({axes.images[0].get_clim() for axes in found}) == 1


@pytest.mark.parametrize(
    ("encodings", "grid", "message"),
    [
        (ENCODINGS, (2, 2), r"encodings \(6, 5\) are not one for each place of a grid \(2, 2\)"),
        (ENCODINGS[0], (5, 1), "are not one"),
        (ENCODINGS, (-2, -3), "are not one"),
        (ENCODINGS * (np.arange(6) != 4)[:, None], (2, 3), "place 4 is all zeros"),
    ],
)
def test_what_is_no_grid_is_refused(encodings, grid, message, unchecked_types):
    with pytest.raises(ValueError, match=message):
        plot_grid_similarity(encodings, grid)
