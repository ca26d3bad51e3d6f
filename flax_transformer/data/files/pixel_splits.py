"""Converts splits of data sets to pixels in files, which are made once and memory-mapped."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from flax_transformer.data.batches.examples import ArrayInputs, Examples
from flax_transformer.data.datasets.datasets import open_split


def open_pixels(config: Any, split: str) -> Examples:
    """Reads a split of labeled images or videos, all of one size.

    Raises:
        UserError: if it cannot be opened, or the examples differ in size.
    """
    opened = open_split(config, split)

    def make() -> Iterator[dict[str, np.ndarray]]:
        for record in opened:
            label = np.array([record["label"]], np.int32)
            yield {"inputs": record[config.kind][None], "labels": label}

    inputs_and_labels = opened.arrays
    if inputs_and_labels is None:
        # Only size and background may change; the prepared data set determines the rest.
        settings = [config.image_size, config.background]
        arrays = opened.keep("pixels", settings, make, is_checked=False)
        inputs_and_labels = arrays["inputs"], arrays["labels"]
    inputs, labels = inputs_and_labels
    if getattr(config, "still", False):
        inputs = still(inputs)
    return Examples(ArrayInputs(inputs), np.array(labels), opened.class_names)


def still(videos: UInt8[np.ndarray, "examples ..."]) -> UInt8[np.ndarray, "examples ..."]:
    """Replaces every frame of a video by its first frame."""
    return np.broadcast_to(videos[:, :1], videos.shape)
