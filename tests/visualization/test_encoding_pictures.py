import numpy as np
import pytest
import reference

from flax_transformer.visualization.encodings import plot_encodings

LENGTH, D_MODEL = 13, 22


def drawn(encodings):
    products, heat_map, _, *waves = plot_encodings(encodings).axes
    return products, heat_map, waves


def test_the_heat_map_holds_every_number_and_each_wave_a_column():
    encodings = np.random.default_rng(0).normal(size=(LENGTH, D_MODEL))
    _, heat_map, waves = drawn(encodings)
    np.testing.assert_array_equal(heat_map.images[0].get_array(), encodings)
    columns = [int(axes.get_ylabel().removeprefix("column ")) for axes in waves]
    assert columns[0] == 0
    assert columns == sorted({column for column in columns if column % 2 == 0})
    for axes, column in zip(waves, columns, strict=True):
        (wave,) = axes.get_lines()
        np.testing.assert_array_equal(wave.get_ydata(), encodings[:, column])
        assert axes.get_ylim() == waves[0].get_ylim()
    assert [axes.get_xlabel() for axes in waves] == [""] * (len(waves) - 1) + ["position, tokens"]


def test_products_of_sinusoids_depend_on_the_distance_alone():
    products, _, _ = drawn(reference.sinusoidal_positions(range(LENGTH), D_MODEL))
    distances, values = np.asarray(products.collections[0].get_offsets()).T
    assert len(values) == LENGTH * (LENGTH + 1) // 2
    (mean,) = products.get_lines()
    means = np.asarray(mean.get_ydata(), float)
    np.testing.assert_allclose(values, means[distances.astype(int)], rtol=1e-9)
    assert products.get_xlabel() == "distance, tokens"


def test_each_pair_of_other_encodings_is_a_point_around_the_mean():
    encodings = np.random.default_rng(0).normal(size=(LENGTH, D_MODEL))
    products, _, _ = drawn(encodings)
    expected = [
        (k - j, sum(encodings[j] * encodings[k])) for j in range(LENGTH) for k in range(j, LENGTH)
    ]
    points = np.asarray(products.collections[0].get_offsets())
    np.testing.assert_allclose(points, expected, rtol=1e-9)
    means = [np.mean([y for x, y in expected if x == distance]) for distance in range(LENGTH)]
    drawn_means = np.asarray(products.get_lines()[0].get_ydata(), float)
    np.testing.assert_allclose(drawn_means, means, rtol=1e-9)


@pytest.mark.filterwarnings("error")
def test_an_encoding_of_one_column_that_tells_nothing_is_drawn():
    assert len(drawn(np.zeros((2, 1)))[2]) == 1


@pytest.mark.parametrize("shape", [(1, D_MODEL), (LENGTH, 0)])
def test_nothing_to_draw_is_refused(shape):
    with pytest.raises(ValueError, match=rf"encodings \({shape[0]}, {shape[1]}\) must be"):
        plot_encodings(np.zeros(shape))
