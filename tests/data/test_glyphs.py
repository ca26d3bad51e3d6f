import numpy as np
import pytest

from flax_transformer.data.datasets.glyphs import ROWS, bitmap, draw


def test_no_two_digits_are_alike():
    assert len({bitmap(digit).tobytes() for digit in ROWS}) == 10


@pytest.mark.parametrize("digit", ROWS)
def test_a_drawn_digit_is_its_bitmap_in_the_middle(digit):
    expected = np.zeros((11, 11))
    expected[2:9, 3:8] = 255 * bitmap(digit)
    np.testing.assert_array_equal(draw(digit, 0.0, 11, 1.0), expected)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_angles_turn_to_the_left(quarters):
    upright = draw(5, 0.0, 29, 2.5)
    turned = draw(5, quarters * np.pi / 2, 29, 2.5)
    difference = np.rot90(upright, quarters).astype(int) - turned.astype(int)
    assert abs(difference).max() <= 1  # of rounding


def test_a_turned_digit_has_the_same_ink():
    ink = [draw(2, angle, 31, 2.5).sum() for angle in np.linspace(0, 6, 7)]
    np.testing.assert_allclose(ink, ink[0], rtol=0.02)
