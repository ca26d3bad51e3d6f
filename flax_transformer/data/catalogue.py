"""The data sets beside translation, by what their examples are.

Each builder takes what its entry names and TFDS's own arguments, such as data_dir.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """How a data set is listed and built; `takes` names the arguments that it alone has."""

    description: str
    builder: Callable[..., Any]
    takes: tuple[str, ...] = ()


def _builder(module: str, name: str) -> Callable[..., Any]:
    # TFDS takes a second to import, and who lists data sets does not need it.
    def build(**kwargs: Any) -> Any:
        builder = getattr(importlib.import_module(f"flax_transformer.data.{module}"), name)
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
        ("train", "validation"),
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
        ("files",),
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
        ("folder", "image_size"),
    ),
}
VIDEOS = {  # video, label
    "moving_digits": Entry(
        "5,500 videos of digits in 10 kinds of motion; built in, needs no network",
        _builder("moving_digits", "MovingDigits"),
    ),
}
KINDS = {"text": TEXTS, "labelled_text": LABELLED_TEXTS, "image": IMAGES, "video": VIDEOS}
