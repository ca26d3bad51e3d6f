"""Which labelled data set: of texts, of images or of videos, and how a split of it is read."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from flax_transformer.data.batches.examples import ArrayInputs, Examples, TextInputs
from flax_transformer.data.data_config import DataConfig, check_counts
from flax_transformer.data.datasets.augmentation_config import AugmentationConfig
from flax_transformer.data.datasets.catalogue import (
    IMAGES,
    LABELLED_TEXTS,
    VIDEOS,
    Split,
    check_entry,
    open_split,
)
from flax_transformer.data.files.image_files import fit
from flax_transformer.data.files.pixels import check_color, from_array
from flax_transformer.data.files.records import read_records
from flax_transformer.data.tokens.adopted_tokenizer import NUM_TRIED, adopt_tokenizer
from flax_transformer.data.tokens.kept_tokens import Kept
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE, Tokenizer
from flax_transformer.errors import UserError, check_number

READ_SIZE = 4096  # examples read at one time


@dataclasses.dataclass(frozen=True)
class LabelledConfig(DataConfig):
    """What all labelled data sets are told."""

    batch_size: int = 64
    """Examples of an update, over all devices."""

    def __post_init__(self) -> None:
        check_counts(self)
        check_number("data.batch_size", self.batch_size)

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Says what to lower where a batch is too large."""
        if self.batch_size > 1:
            yield f"lower --data.batch-size to {self.batch_size // 2}"


@dataclasses.dataclass(frozen=True)
class LabelledTextConfig(LabelledConfig):
    """Which labelled texts, and how they become tokens."""

    dataset: str = "sst2"
    """sst2, trec, labelled_text (your own .csv or .tsv files), or a data set of TFDS with one text
    and one label: ag_news_subset."""
    train_file: str | None = None
    """labelled_text: file to train from, with columns text and label."""
    validation_file: str | None = None
    """labelled_text: file to validate on."""
    test_file: str | None = None
    """labelled_text: file to test on; may be left out."""
    vocab_size: int = 8_000
    """Rows of the vocabulary at most; a small training split may give fewer."""
    tokenizer: str | None = None
    """A tokenizer.json of Hugging Face, used instead of training a tokenizer; it also sets the size
    of the vocabulary. It is copied into the workdir."""
    max_length: int = 64
    """Tokens of a text with its marks; what is longer is cut."""

    PATHS = ("train_file", "validation_file", "test_file")
    COPIED_PATHS = ("tokenizer",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.vocab_size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        check_number("data.max_length", self.max_length, 2)
        check_entry(self, LABELLED_TEXTS)

    @property
    def held_out_split(self) -> str:
        """The split of the final score: validation, where the user's files have no test."""
        without_test = self.dataset == "labelled_text" and self.test_file is None
        return self.validation_split if without_test else self.test_split


@dataclasses.dataclass(frozen=True)
class ImagesConfig(LabelledConfig):
    """Which labelled images."""

    dataset: str = "digits"
    """digits (needs scikit-learn), fashion_mnist, cifar10_jpeg, image_folders (your own), or a data
    set of TFDS with one image and one label: beans."""
    folder: str | None = None
    """image_folders: folder with train/CLASS/IMAGE, and validation and test beside train."""
    image_size: int = 32
    """image_folders, and data sets of TFDS with images of several sizes: pixels of the height and
    width to which images are cropped and resized."""
    background: str = "white"
    """The same data sets, and images to classify: color behind transparent pixels, as a name or
    #rrggbb."""
    skip_bad_files: bool = False
    """image_folders: leave out files that cannot be read, and report how many."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How images are changed by chance in training."""

    PATHS = ("folder",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.image_size", self.image_size)
        check_color("--data.background", self.background)
        check_entry(self, IMAGES, published=("manual_dir", "image_size", "background"))


@dataclasses.dataclass(frozen=True)
class VideosConfig(LabelledConfig):
    """Which labelled videos."""

    dataset: str = "moving_digits"
    """moving_digits (built in), or video_folders (your own)."""
    folder: str | None = None
    """video_folders: folder with train/CLASS/CLIP, and validation and test beside train; a clip is
    a GIF, WebP or PNG of several frames, a film, or a folder of images."""
    image_size: int = 32
    """video_folders: pixels of the height and width to which frames are cropped and resized."""
    num_frames: int = 8
    """video_folders: frames, taken evenly in time over a clip."""
    background: str = "white"
    """video_folders, and videos to classify: color behind transparent pixels, as a name or
    #rrggbb."""
    skip_bad_files: bool = False
    """video_folders: leave out files that cannot be read, use the readable part of damaged ones,
    and report how many."""
    still: bool = False
    """Show the first frame in place of all others, a control: what a model then knows, it knows
    from one picture."""
    augmentation: AugmentationConfig = AugmentationConfig()
    """How videos are changed by chance in training."""

    PATHS = ("folder",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.image_size", self.image_size)
        check_number("data.num_frames", self.num_frames)
        check_color("--data.background", self.background)
        check_entry(self, VIDEOS)


# The usual name of the inputs, and their axes.
INPUTS = {LabelledTextConfig: ("text", 0), ImagesConfig: ("image", 3), VideosConfig: ("video", 4)}


def train_tokenizer(config: LabelledTextConfig) -> Tokenizer:
    """Learns the subwords of the training split, or reads those kept with the data set.

    If the config names a tokenizer, that one is used instead.
    """
    split = open_split(config, LABELLED_TEXTS, config.train_split)
    name = _input_name(split, config)
    texts = (record[name].decode() for record in _records(split))
    if config.tokenizer is not None:
        return adopt_tokenizer(config.tokenizer, itertools.islice(texts, NUM_TRIED))
    return Kept(split.folder).tokenizer(
        ["labelled tokenizer", config.train_split, config.vocab_size],
        lambda: Tokenizer.train(texts, config.vocab_size),
    )


def open_texts(config: LabelledTextConfig, tokenizer: Tokenizer, split: str) -> Examples:
    """Reads a split of labelled texts.

    Raises:
        UserError: if it cannot be opened.
    """
    opened = open_split(config, LABELLED_TEXTS, split)
    name = _input_name(opened, config)

    def make() -> dict[str, np.ndarray]:
        records = list(_records(opened))
        texts = (record[name].decode() for record in records)
        tokens, offsets = TokenizedText.encode(tokenizer, texts, begin=True)
        return {"tokens": tokens, "offsets": offsets, "labels": _labels(records, opened)}

    key = ["labelled texts", split, tokenizer.to_json()]
    arrays = Kept(opened.folder).arrays(key, ("tokens", "offsets", "labels"), make)
    texts = TokenizedText(arrays["tokens"], arrays["offsets"])
    return Examples(TextInputs(texts, config.max_length), arrays["labels"], _names(opened))


def open_arrays(config: ImagesConfig | VideosConfig, split: str) -> Examples:
    """Reads a split of labelled images or videos, and makes images of several sizes one size.

    Raises:
        UserError: if it cannot be opened, or videos are not all of one size.
    """
    entries = IMAGES if isinstance(config, ImagesConfig) else VIDEOS
    opened = open_split(config, entries, split)
    name, label = _input_name(opened, config), _label_name(opened)
    feature = opened.features[name]
    resize = _resize(config, feature.shape, feature.np_dtype)

    def make() -> Iterator[dict[str, Any]]:
        for record in _records(opened):
            yield {"inputs": resize(record[name]), "labels": np.int32(record[label])}

    # Only size and background may change; the prepared data set fixes the rest.
    key = ["labelled arrays", split, config.image_size, config.background]
    arrays = Kept(opened.folder).rows(key, ("inputs", "labels"), len(opened.records), make)
    inputs = arrays["inputs"]
    if isinstance(config, VideosConfig) and config.still:
        inputs = still(inputs)
    return Examples(ArrayInputs(inputs), np.array(arrays["labels"]), _names(opened))


def still(videos: UInt8[np.ndarray, "examples ..."]) -> UInt8[np.ndarray, "examples ..."]:
    """Replaces every frame of a video by its first frame."""
    return np.broadcast_to(videos[:, :1], videos.shape)


def _resize(
    config: ImagesConfig | VideosConfig, shape: tuple[int | None, ...], dtype: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes the function that gives examples 8 bits and one size; None marks sizes that vary."""
    is_image = len(shape) == 3 and shape[-1] in (1, 3, 4)
    if None not in shape and dtype == np.uint8:
        return lambda pixels: pixels
    if not is_image or dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"{config.dataset} has examples {shape} of {np.dtype(dtype)}, which are not images of "
            "8 or 16 bits: put them into folders and give --data.dataset image_folders or "
            "video_folders"
        )
    height, width = (config.image_size if size is None else size for size in shape[:2])
    channels = 1 if shape[-1] == 1 else 3

    def resize(pixels: np.ndarray) -> np.ndarray:
        return fit(from_array(pixels), height, width, channels, config.background)

    return resize


def _records(split: Split) -> Iterator[Any]:
    for start in range(0, len(split.records), READ_SIZE):
        yield from read_records(split.records, range(len(split.records))[start : start + READ_SIZE])


def _label_name(split: Split) -> str:
    import tensorflow_datasets as tfds

    kind = tfds.features.ClassLabel
    labels = [name for name, feature in split.features.items() if isinstance(feature, kind)]
    return "label" if "label" in labels else labels[0]


def _input_name(split: Split, config: LabelledConfig) -> str:
    """The one feature of the kind, or of several the one with the usual name."""
    import tensorflow_datasets as tfds

    features = split.features
    labels = [k for k, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    usual, num_axes = INPUTS[type(config)]
    inputs = [
        name
        for name, kind in features.items()
        if name not in (*labels, "id", "idx")
        and isinstance(kind.shape, tuple)  # a dictionary's is none
        and len(kind.shape) == num_axes
        and (num_axes > 0 or isinstance(kind, tfds.features.Text))
    ]
    if usual in inputs:
        inputs = [usual]
    if len(inputs) != 1 or not (len(labels) == 1 or "label" in labels):
        raise UserError(
            f"{config.dataset} has the inputs {inputs} and the labels {labels}: choose a data set "
            "with one of each"
        )
    return inputs[0]


def _labels(records: list[Any], split: Split) -> np.ndarray:
    name = _label_name(split)
    return np.array([record[name] for record in records], np.int32)


def _names(split: Split) -> tuple[str, ...]:
    return tuple(split.features[_label_name(split)].names)
