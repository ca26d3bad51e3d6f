from typing import Any

import numpy as np
import pytest

from flax_transformer.visualization.proof_picture import plot_proofs


def test_colors_are_those_of_the_exponents_and_missing_cells_are_white():
    figure = plot_proofs(
        {"padding": {"8 tokens": 1e-7, "16 tokens": 0.1}, "kernels": {"16 tokens": 0.0}}
    )
    axes = figure.axes[0]
    exponents: Any = axes.images[0].get_array()
    np.testing.assert_allclose(exponents.filled(9), [[-7, -1], [9, -9]])
    assert [text.get_text() for text in axes.texts] == ["1.0e-07", "1.0e-01", "0.0e+00"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["padding", "kernels"]
    norm = axes.images[0].norm
    assert norm(np.array(-5.0)) == 0.5


def test_what_is_not_a_number_is_as_wrong_as_can_be():
    figure = plot_proofs({"padding": {"8 tokens": np.nan, "16 tokens": np.inf}})
    shown: Any = figure.axes[0].images[0].get_array()
    assert shown.tolist() == [[0.0, 0.0]]


def test_nothing_cannot_be_drawn():
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_proofs({})
