"""The user's own images or videos, SPLIT/CLASS/EXAMPLE: a data set without code."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor

from flax_transformer.data.datasets.own_data import choose_split, prepare_own
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.clips import images_in
from flax_transformer.data.files.example_files import (
    IMAGE,
    VIDEO,
    Found,
    find_examples,
    read_examples,
)
from flax_transformer.data.files.folders import tell_passed_over
from flax_transformer.data.files.image_files import read_pixels
from flax_transformer.data.files.kept_arrays import keep
from flax_transformer.errors import UserError


def open_split(config: Any, split: str) -> Split:
    """Opens a split of image_folders or video_folders, as memory-mapped arrays.

    The splits are train and, if present, validation (also valid or val) and test. The classes are
    the folders of train, in natural order. Their subfolders are read too. Images are cropped to the
    central square and resized. Frames of a video are evenly spaced over its whole length.

    Raises:
        UserError: if a folder or file cannot be read, or the split does not exist.
    """
    if config.folder is None:
        raise UserError(f"{config.dataset} needs --data.folder: give the folder with train/CLASS")
    is_video, folder = config.kind == "video", Path(config.folder).expanduser()
    kind, frames = (VIDEO, [config.num_frames]) if is_video else (IMAGE, [])
    shape = (*frames, config.image_size, config.image_size, 3)
    found, passed_over = find_examples(folder, kind)
    files = _files(found)
    # Settings that the contents of the files do not determine.
    outline = [[*key, list(map(len, examples))] for key, examples in files.items()]
    # Includes the option: data prepared with it must not be used without it.
    settings = [shape, ImageColor.getrgb(config.background), config.skip_bad_files, outline]
    made, digest, _ = prepare_own(
        config,
        [file for examples in files.values() for parts in examples for file in parts],
        settings,
        partial(tell_passed_over, passed_over, folder, kind.name),
    )

    def make() -> Iterator[dict[str, np.ndarray]]:
        read = partial(read_pixels, shape, config.background)
        numbers = {name: np.array([number], np.int32) for number, name in enumerate(found["train"])}
        for name, label, pixels in read_examples(found, read, skip_bad_files=config.skip_bad_files):
            yield {f"{name}_inputs": pixels[None], f"{name}_labels": numbers[label]}

    # The array is too large to be verified at every start.
    arrays = keep(made, ["pixels", digest], make, is_checked=False)
    splits = {}
    for name in found:
        both = arrays[f"{name}_inputs"], arrays[f"{name}_labels"]
        read, names = partial(_records, kind.name, *both), tuple(found["train"])
        splits[name] = Split(name, len(both[1]), read, made, digest, names, both)
    return choose_split(config, splits, split)


def _files(found: Found) -> dict[tuple[str, str], list[list[Path]]]:
    """The files of each example, by split and class; a video may be a folder of images."""
    return {
        (split, name): [images_in(path) if path.is_dir() else [path] for path in paths]
        for split, classes in found.items()
        for name, paths in classes.items()
    }


def _records(name: str, inputs: np.ndarray, labels: np.ndarray) -> Iterator[dict[str, Any]]:
    return ({name: one, "label": int(label)} for one, label in zip(inputs, labels, strict=True))
