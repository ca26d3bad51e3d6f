import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.functional import grid_coordinates, split_patches, split_tubelets

FRAMES, HEIGHT, WIDTH, CHANNELS = 4, 6, 10, 3


def test_patches_stand_row_by_row(normal):
    image, (tall, wide) = normal(HEIGHT, WIDTH, CHANNELS), (2, 5)
    patches = split_patches(image, (tall, wide))
    expected = []
    for top in range(0, HEIGHT, tall):
        for left in range(0, WIDTH, wide):
            patch = []
            for y in range(tall):
                for x in range(wide):
                    patch += [image[top + y, left + x, c] for c in range(CHANNELS)]
            expected.append(patch)
    np.testing.assert_array_equal(patches, expected)


def test_tubelets_stand_time_by_time_and_within_a_time_row_by_row(normal):
    video, (long, tall, wide) = normal(FRAMES, HEIGHT, WIDTH, CHANNELS), (2, 3, 5)
    tubelets = split_tubelets(video, (long, tall, wide))
    expected = []
    for begin in range(0, FRAMES, long):
        for top in range(0, HEIGHT, tall):
            for left in range(0, WIDTH, wide):
                block = video[begin : begin + long, top : top + tall, left : left + wide]
                expected.append(np.asarray(block).ravel())
    np.testing.assert_array_equal(tubelets, expected)


def test_tubelets_of_one_frame_are_the_patches_of_the_frames(normal):
    video = normal(FRAMES, HEIGHT, WIDTH, CHANNELS)
    frames = [split_patches(frame, (3, 2)) for frame in video]
    np.testing.assert_array_equal(split_tubelets(video, (1, 3, 2)), jnp.concatenate(frames))


def test_a_dense_layer_of_patches_is_a_strided_convolution(normal):
    image, kernel = normal(HEIGHT, WIDTH, CHANNELS), normal(3, 2, CHANNELS, 7)
    convolved = jax.lax.conv_general_dilated(
        image[None], kernel, (3, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    embedded = split_patches(image, (3, 2)) @ kernel.reshape(-1, 7)
    np.testing.assert_allclose(embedded, convolved.reshape(-1, 7), rtol=1e-5, atol=1e-5)


def test_coordinates_are_those_of_the_patches():
    """Of an image whose pixels say where they stand."""
    rows, columns = 3, 5
    image = jnp.stack(jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij"), axis=-1)
    patches = split_patches(image, (1, 1))
    np.testing.assert_array_equal(grid_coordinates(patches, (rows, columns)), patches)
