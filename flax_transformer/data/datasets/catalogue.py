"""The data sets beside translation, by what their examples are.

Each builder takes what its entry names and TFDS's own arguments, such as data_dir.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.data_config import DataConfig, check_fields
from flax_transformer.data.datasets.prepare import find_published, prepare, quiet, read_split


class Entry(NamedTuple):
    """How a data set is listed and built; `takes` names the arguments that not all others have."""

    description: str
    builder: Callable[..., Any]
    takes: tuple[str, ...] = ()


def _builder(module: str, name: str) -> Callable[..., Any]:
    # TFDS takes a second to import, and who lists data sets does not need it.
    def build(**kwargs: Any) -> Any:
        builder = getattr(importlib.import_module(f"flax_transformer.data.datasets.{module}"), name)
        return builder(file_format="array_record", **kwargs)

    return build


TEXTS = {  # text
    "tinyshakespeare": Entry(
        "1,115,394 characters of Shakespeare's plays",
        _builder("tinyshakespeare", "Tinyshakespeare"),
        ("manual_dir",),
    ),
    "plain_text": Entry(
        "your own text, a file or a folder of .txt files",
        _builder("plain_text", "PlainText"),
        ("train_text", "validation_text"),
    ),
}
LABELLED_TEXTS = {  # text, label
    "sst2": Entry(
        "9,613 sentences of film reviews, negative or positive",
        _builder("sst2", "Sst2Sentences"),
        ("manual_dir",),
    ),
    "trec": Entry(
        "5,952 questions by what they ask for, 6 classes",
        _builder("trec", "TrecQuestions"),
        ("manual_dir",),
    ),
    "labelled_text": Entry(
        "your own .csv or .tsv files with columns text and label",
        _builder("labelled_text", "LabelledText"),
        ("train_file", "validation_file", "test_file"),
    ),
}
IMAGES = {  # image, label
    "digits": Entry(
        "1,797 digits of 8 × 8 pixels; needs scikit-learn, but no network",
        _builder("digits", "Digits"),
    ),
    "fashion_mnist": Entry(
        "70,000 grey images of clothes, 28 × 28, 10 classes",
        _builder("fashion_mnist", "FashionMnistIdx"),
        ("manual_dir",),
    ),
    "cifar10_jpeg": Entry(
        "60,000 colour images, 32 × 32, 10 classes; pixels as JPEG left them",
        _builder("cifar10_jpeg", "Cifar10Jpeg"),
        ("manual_dir",),
    ),
    "image_folders": Entry(
        "your own images in folders, SPLIT/CLASS/IMAGE",
        _builder("image_folders", "ImageFolders"),
        ("folder", "image_size", "background", "skip_bad_files"),
    ),
}
VIDEOS = {  # video, label
    "moving_digits": Entry(
        "5,500 videos of digits in 10 kinds of motion; built in, needs no network",
        _builder("moving_digits", "MovingDigits"),
    ),
    "video_folders": Entry(
        "your own videos in folders, SPLIT/CLASS/CLIP",
        _builder("video_folders", "VideoFolders"),
        ("folder", "image_size", "num_frames", "background", "skip_bad_files"),
    ),
}


class Split(NamedTuple):
    """A split of a prepared data set.

    Attributes:
        records: a dictionary by feature for each example, with random access.
        features: TFDS's, by name.
        folder: of the prepared data set.
    """

    records: Any
    features: Any
    folder: Path


@quiet()
def open_split(config: DataConfig, entries: Mapping[str, Entry], split: str) -> Split:
    """Opens a split, preparing the data set first if this has not been done.

    Args:
        config: names the data set, and has a field for each argument of its builder.
        entries: data sets of its kind; another name is one of TFDS.
        split: a name such as "test", or a part of one such as "train[:1000]".

    Raises:
        UserError: if there is no such data set or split, or its files cannot be had.
    """
    entry = entries.get(config.dataset)
    takes = ("manual_dir",) if entry is None else entry.takes

    def build() -> Any:
        if entry is None:
            return find_published(config, entries)
        given = {name: getattr(config, name) for name in entry.takes}
        return entry.builder(data_dir=config.data_dir, **given)

    builder = prepare(build, config, is_fetched="manual_dir" in takes)
    files = [name for name in config.PATHS if name.startswith(f"{split}_") and name in takes]
    hint = f" Give --data.{files[0].replace('_', '-')}." if files else ""
    records = read_split(builder, config.dataset, split, hint)
    return Split(records, builder.info.features, Path(builder.data_path))


def check_entry(
    config: DataConfig, entries: Mapping[str, Entry], published: tuple[str, ...] = ("manual_dir",)
) -> None:
    """Refuses what is set for another data set of the kind; see `check_fields`.

    Args:
        config: of a data set.
        entries: data sets of its kind.
        published: of the arguments that not all of them have, those of a data set of TFDS.
    """
    entry = entries.get(config.dataset)
    specific = {name for other in entries.values() for name in other.takes}
    check_fields(config, published if entry is None else entry.takes, specific)


KINDS = {"text": TEXTS, "labelled_text": LABELLED_TEXTS, "image": IMAGES, "video": VIDEOS}
