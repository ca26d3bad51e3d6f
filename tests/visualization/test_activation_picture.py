import numpy as np

from flax_transformer.functional import ACTIVATIONS
from flax_transformer.visualization.formula_pictures import plot_activations


def test_every_activation_of_one_number_is_drawn():
    (axes,) = plot_activations().axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {name for name, entry in ACTIVATIONS.items() if not entry.is_gated}
    x, silu = map(np.asarray, lines["silu"].get_data())
    np.testing.assert_allclose(silu, x / (1 + np.exp(-x)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(lines["relu"].get_ydata()), np.maximum(x, 0), rtol=1e-6)
