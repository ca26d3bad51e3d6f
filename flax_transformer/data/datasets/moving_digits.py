"""Digits that move in ten ways, which are the classes: a video task that needs no network.

A single frame does not show the motion. Opposite edges of the picture meet, and a digit starts at a
random place and angle. So in every frame of every class, its place and angle are uniformly
distributed. The splits share no digit.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.data.datasets.glyphs import draw
from flax_transformer.data.datasets.recipe import Recipe, labeled, pixels

DIRECTIONS = {  # pixels down and to the right, in steps
    "right": (0, 1),
    "down_right": (1, 1),
    "down": (1, 0),
    "down_left": (1, -1),
    "left": (0, -1),
    "up_left": (-1, -1),
    "up": (-1, 0),
    "up_right": (-1, 1),
}
MOTIONS = (*DIRECTIONS, "turning", "bouncing")
NUM_FRAMES = 8
SIZE = 32  # side of a frame in pixels
NUM_ANGLES = 12  # possible angles of a digit, and steps of a full turn
STEP = 2  # pixels between two frames
BOUNCE_STEPS = 2  # after this many steps a bouncing digit turns back
SCALE = 2.5  # the digits are 17.5 pixels high
# The digits and the number of scenes of each split; each scene occurs once in every class. A 6 is a
# 9 upside down, so they are in one split.
SPLITS = {
    "train": ((1, 2, 3, 4, 6, 9), 400),
    "validation": ((0, 7), 50),
    "test": ((5, 8), 100),
}
SEED = 0


class _Scene(NamedTuple):
    """The beginning of a video."""

    digit: int
    row: int  # of the digit's place, in pixels
    column: int
    angle: int  # in steps of a turn, counterclockwise
    direction: str  # direction of a bouncing digit


def recipe(config: Any) -> Recipe:
    """Makes the recipe of videos of eight frames of 32 × 32 gray pixels, and their motions."""
    return labeled(
        "moving_digits",
        "Digits in ten kinds of motion.",
        ("video", pixels(NUM_FRAMES, SIZE, SIZE, 1)),
        MOTIONS,
        lambda _: _splits(),
    )


def _splits() -> dict[str, tuple[Iterator[np.ndarray], Iterator[str]]]:
    seeds = np.random.SeedSequence(SEED).spawn(len(SPLITS))
    return {
        split: make_videos(digits, num_scenes, np.random.default_rng(seed))
        for (split, (digits, num_scenes)), seed in zip(SPLITS.items(), seeds, strict=True)
    }


def make_videos(
    digits: tuple[int, ...], num_scenes: int, rng: np.random.Generator
) -> tuple[Iterator[np.ndarray], Iterator[str]]:
    """Returns the videos of a split and their motions, in random order."""
    scenes = draw_scenes(digits, num_scenes, rng)
    pictures = {
        (digit, angle): draw(digit, 2 * np.pi * angle / NUM_ANGLES, SIZE, SCALE)
        for digit in digits
        for angle in range(NUM_ANGLES)
    }
    order = [divmod(i, len(MOTIONS)) for i in rng.permutation(num_scenes * len(MOTIONS)).tolist()]
    videos = (film(scenes[scene], MOTIONS[motion], pictures) for scene, motion in order)
    return videos, (MOTIONS[motion] for _, motion in order)


def draw_scenes(digits: tuple[int, ...], number: int, rng: np.random.Generator) -> list[_Scene]:
    """Draws distinct scenes with equal probabilities."""
    shape = (len(digits), SIZE, SIZE, NUM_ANGLES)
    drawn = np.unravel_index(rng.choice(np.prod(shape), number, replace=False), shape)
    directions = rng.choice(list(DIRECTIONS), number)
    return [
        _Scene(digits[digit], row, column, angle, direction)
        for digit, row, column, angle, direction in zip(
            *(axis.tolist() for axis in drawn), directions.tolist(), strict=True
        )
    ]


def move(motion: str, direction: str) -> np.ndarray:
    """Returns the displacement of a digit from its start in every frame.

    Args:
        motion: one of `MOTIONS`.
        direction: direction of a bouncing digit.

    Returns:
        Pixels down, pixels to the right and steps of a turn to the left, (frames, 3).

    Example:
        >>> move("down", "up")[:3].tolist()
        [[0, 0, 0], [2, 0, 0], [4, 0, 0]]
        >>> move("bouncing", "up")[:5, 0].tolist()
        [0, -2, -4, -2, 0]
    """
    times = np.arange(NUM_FRAMES)
    if motion == "turning":
        return times[:, None] * np.array([0, 0, 1])
    if motion == "bouncing":
        # 0, 1, ..., BOUNCE_STEPS, and back.
        times = BOUNCE_STEPS - abs(times % (2 * BOUNCE_STEPS) - BOUNCE_STEPS)
        motion = direction
    return STEP * times[:, None] * np.array([*DIRECTIONS[motion], 0])


def film(scene: _Scene, motion: str, pictures: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
    """Makes a video.

    Args:
        scene: the beginning of the video.
        motion: one of `MOTIONS`.
        pictures: images of every digit at every angle, (size, size).

    Returns:
        The gray levels, (frames, size, size, 1).
    """
    frames = []
    for down, right, turn in move(motion, scene.direction).tolist():
        picture = pictures[scene.digit, (scene.angle + turn) % NUM_ANGLES]
        frames.append(np.roll(picture, (scene.row + down, scene.column + right), (0, 1)))
    return np.stack(frames)[..., None]
