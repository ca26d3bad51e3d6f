"""All data sets by name, and the function that opens a split of one."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from flax_transformer.data.datasets.split import Pair, Split
from flax_transformer.errors import unknown_part

if TYPE_CHECKING:
    from flax_transformer.data.data_config import DataConfig


class Dataset(NamedTuple):
    """The description of a data set, and the function that opens it.

    Attributes:
        description: one line.
        kind: kind of its config: pair, text, labeled_text, image or video.
        open: returns a split, given the config and the split's name; prepares the data set if
            needed.
        reads: fields of the config that this data set reads, among those that some data sets of its
            kind ignore.
        languages: the available languages, for pairs with sides named by language.
    """

    description: str
    kind: str
    open: Callable[[Any, str], Split]
    reads: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


def open_split(config: "DataConfig", split: str) -> Split:
    """Opens a split, preparing the data set first if necessary.

    Args:
        config: the data set and its location.
        split: a name such as "test", or a part of a split such as "train[:1000]".

    Raises:
        UserError: if the data set, split or language does not exist, or its files are unavailable.
    """
    known = {name: dataset for name, dataset in DATASETS.items() if dataset.kind == config.kind}
    if config.dataset in known:
        return known[config.dataset].open(config, split)
    if config.PUBLISHED_READS is None:
        raise unknown_part("--data.dataset", config.dataset, known)
    from flax_transformer.data.datasets.prepared import find_published, open_prepared

    return open_prepared(config, split, lambda: find_published(config, known), is_fetched=True)


def check_splits(config: "DataConfig") -> None:
    """Opens every split of a training, so that a missing test file is reported before it.

    Raises:
        UserError: see `open_split`.
    """
    for split in (config.train_split, config.validation_split, config.held_out_split):
        open_split(config, split)


def read_pairs(config: "DataConfig", split: str) -> list[Pair]:
    """Reads the texts of a split of sentence pairs into memory.

    Raises:
        UserError: see `open_split`.
    """
    return [Pair(**record) for record in open_split(config, split)]


def _builtin(module: str) -> Callable[[Any, str], Split]:
    """Opens a data set that TFDS prepares by the `recipe` of a module in this folder."""

    # TFDS takes a second to import, and listing the data sets does not need it.
    def open(config: Any, split: str) -> Split:
        from flax_transformer.data.datasets.prepared import open_recipe

        return open_recipe(_import(module).recipe(config), config, split)

    return open


def _own(module: str) -> Callable[[Any, str], Split]:
    """Opens a user's own files by the `open_split` of a module in this folder."""
    return lambda config, split: _import(module).open_split(config, split)


def _import(module: str) -> Any:
    return importlib.import_module(f"flax_transformer.data.datasets.{module}")


_SPLITS, _SIDES = ("train", "validation", "test"), ("source", "target", "pairs")
_ORDERED = "rows of up to 16 letters to {}; built in, needs no network"
DATASETS = {
    "number_words": Dataset(
        "numbers below a million in words; built in, needs no network",
        "pair",
        _builtin("number_words"),
        languages=("en", "de", "fr"),
    ),
    "multi30k": Dataset(
        "29,000 image captions, raw or tokenized by the authors",
        "pair",
        _builtin("multi30k"),
        ("form", "manual_dir"),
        ("en", "de", "fr"),
    ),
    "text_files": Dataset(
        "your own parallel text: two files line by line, or a file of pairs",
        "pair",
        _own("parallel_files"),
        (
            *(f"{split}_{side}" for split in _SPLITS for side in _SIDES),
            *("source_column", "target_column", "validation_references", "test_references"),
        ),
    ),
    "copy": Dataset(_ORDERED.format("copy"), "pair", _builtin("letters")),
    "reverse": Dataset(_ORDERED.format("reverse"), "pair", _builtin("letters")),
    "sort": Dataset(_ORDERED.format("sort"), "pair", _builtin("letters")),
    "tinyshakespeare": Dataset(
        "1,115,394 characters of Shakespeare's plays",
        "text",
        _builtin("tinyshakespeare"),
        ("manual_dir",),
    ),
    "plain_text": Dataset(
        "your own text, a file or a folder of .txt files",
        "text",
        _own("plain_text"),
        ("train_text", "validation_text"),
    ),
    "sst2": Dataset(
        "9,613 sentences of film reviews, negative or positive",
        "labeled_text",
        _builtin("sst2"),
        ("manual_dir",),
    ),
    "trec": Dataset(
        "5,952 questions, 6 classes of answers",
        "labeled_text",
        _builtin("trec"),
        ("manual_dir",),
    ),
    "labeled_text": Dataset(
        "your own .csv or .tsv files with columns text and label",
        "labeled_text",
        _own("labeled_text"),
        ("train_file", "validation_file", "test_file"),
    ),
    "conllu": Dataset("your own tagged words, as CoNLL-U", "tagged_words", _own("conllu")),
    "digits": Dataset(
        "1,797 digits of 8 × 8 pixels; needs scikit-learn, but no network",
        "image",
        _builtin("digits"),
    ),
    "fashion_mnist": Dataset(
        "70,000 gray images of clothes, 28 × 28, 10 classes",
        "image",
        _builtin("fashion_mnist"),
        ("manual_dir",),
    ),
    "cifar10_jpeg": Dataset(
        "60,000 color images, 32 × 32, 10 classes; decoded from JPEG",
        "image",
        _builtin("cifar10_jpeg"),
        ("manual_dir",),
    ),
    "image_folders": Dataset(
        "your own images in folders, SPLIT/CLASS/IMAGE",
        "image",
        _own("class_folders"),
        ("folder", "image_size", "background", "skip_bad_files"),
    ),
    "moving_digits": Dataset(
        "5,500 videos of digits in 10 kinds of motion; built in, needs no network",
        "video",
        _builtin("moving_digits"),
    ),
    "video_folders": Dataset(
        "your own videos in folders, SPLIT/CLASS/CLIP",
        "video",
        _own("class_folders"),
        ("folder", "image_size", "num_frames", "background", "skip_bad_files"),
    ),
}
