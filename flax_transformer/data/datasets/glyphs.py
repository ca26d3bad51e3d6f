"""Ten digits drawn by code, rotated by any angle: images that need neither a font nor a file."""

import numpy as np

HEIGHT, WIDTH = 7, 5
# Row by row from the top, one bit for each pixel, the highest bit on the left.
ROWS = {
    0: (0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110),
    1: (0b00100, 0b01100, 0b10100, 0b00100, 0b00100, 0b00100, 0b11111),
    2: (0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111),
    3: (0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110),
    4: (0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010),
    5: (0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110),
    6: (0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110),
    7: (0b11111, 0b00001, 0b00010, 0b00010, 0b00100, 0b00100, 0b00100),
    8: (0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110),
    9: (0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100),
}


def bitmap(digit: int) -> np.ndarray:
    """Returns the bitmap of a digit, 7 × 5 of 0.0 and 1.0.

    Example:
        >>> bitmap(7)[:2]
        array([[1., 1., 1., 1., 1.],
               [0., 0., 0., 0., 1.]])
    """
    bits = [[row >> column & 1 for column in reversed(range(WIDTH))] for row in ROWS[digit]]
    return np.array(bits, float)


def draw(digit: int, angle: float, size: int, scale: float) -> np.ndarray:
    """Draws a digit in the middle of a square, by bilinear interpolation.

    Args:
        digit: 0 to 9.
        angle: counterclockwise rotation, in radians.
        size: pixels of the square's side.
        scale: pixels of the square for one pixel of the bitmap.

    Returns:
        Gray levels, (size, size), 0 to 255.

    Example:
        >>> draw(1, angle=0.0, size=7, scale=1.0)[0].tolist()
        [0, 0, 0, 255, 0, 0, 0]
    """
    padded = np.pad(bitmap(digit), 1)
    middle = (size - 1) / 2
    down, right = (np.indices((size, size)) - middle) / scale
    # The position of each pixel of the square in the bitmap before its rotation.
    row = np.cos(angle) * down + np.sin(angle) * right + (padded.shape[0] - 1) / 2
    column = np.cos(angle) * right - np.sin(angle) * down + (padded.shape[1] - 1) / 2
    row = np.clip(row, 0, padded.shape[0] - 1.001)  # the outermost pixels are empty
    column = np.clip(column, 0, padded.shape[1] - 1.001)
    top, left = row.astype(int), column.astype(int)
    below, beside = row - top, column - left
    upper = (1 - beside) * padded[top, left] + beside * padded[top, left + 1]
    lower = (1 - beside) * padded[top + 1, left] + beside * padded[top + 1, left + 1]
    return np.rint(255 * ((1 - below) * upper + below * lower)).astype(np.uint8)
