"""The data of a picture within a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from flax_transformer.visualization.embedded_frames import (
    LONGEST_SIDE,
    MOST_PIXELS,
    embed_frames,
)


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_small_frames_are_exact():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    addresses, size = embed_frames(pixels)
    assert size == {"frames": 3, "height": 5, "width": 7}
    np.testing.assert_array_equal([*map(decoded, addresses)], pixels)


def test_a_photo_keeps_its_pixels_up_to_the_limit():
    row, column = np.mgrid[:300, :400]
    pixels = np.stack([row % 256, column % 256, (row + column) // 3], axis=-1).astype(np.uint8)
    (address,), size = embed_frames(pixels[None])
    assert size == {"frames": 1, "height": 300, "width": 400}
    assert address.startswith("data:image/jpeg;base64,")
    assert abs(decoded(address).astype(int) - pixels).mean() < 5


@pytest.mark.parametrize("shape", [(1, 3000, 2000), (101, 300, 400), (2, 1, 3001)])
def test_frames_are_shrunk_in_their_proportions(shape):
    addresses, size = embed_frames(np.full((*shape, 3), 117, np.uint8))
    found = decoded(addresses[-1])
    assert found.shape == (size["height"], size["width"], 3)
    assert abs(found.astype(int) - 117).max() <= 1
    assert max(found.shape) <= LONGEST_SIDE
    assert len(addresses) * found.size / 3 <= MOST_PIXELS
    if min(found.shape[:2]) > 1:
        assert found.shape[1] / found.shape[0] == pytest.approx(shape[2] / shape[1], rel=0.02)
