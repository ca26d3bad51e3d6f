"""Configuration shared by all data sets."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from flax_transformer.data.datasets.datasets import DATASETS
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE
from flax_transformer.errors import UserError, check_number, option


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The data set, its location, and the use of its splits."""

    dataset: str
    """Name of the data set; `flax-transformer list` shows all names."""
    manual_dir: str | None = None
    """Folder that already contains the data set's files, used instead of a download."""
    data_dir: str | None = None
    """Folder for prepared data; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split for training."""
    validation_split: str = "validation"
    """Split for choosing the best checkpoint."""
    test_split: str = "test"
    """Held-out split for the final score."""

    kind: ClassVar[str]
    """Kind of data set: pair, text, labeled_text, image or video."""
    PUBLISHED_READS: ClassVar[tuple[str, ...] | None] = ("manual_dir",)
    """Fields that data sets of TFDS read, among those that some data sets ignore; None if this kind
    cannot use TFDS."""
    PATHS: ClassVar[tuple[str, ...]] = ()
    """Fields that are paths, in addition to the two folders."""
    PATH_LISTS: ClassVar[tuple[str, ...]] = ()
    """Fields that are several paths."""
    COPIED_PATHS: ClassVar[tuple[str, ...]] = ()
    """Fields that are paths of files copied into the workdir: the originals may be deleted."""
    ENDINGS: ClassVar[tuple[str, ...]] = ("",)
    """File endings that are read from a folder."""
    LOWEST: ClassVar[Mapping[str, int]] = {"batch_size": 1}
    """Smallest allowed values of the numeric fields."""

    def __post_init__(self) -> None:
        """Rejects impossible numbers, and fields that the data set ignores."""
        for name, lowest in self.LOWEST.items():
            number = getattr(self, name, None)
            if number is not None:
                check_number(option(f"data.{name}"), number, lowest)
        published = self.PUBLISHED_READS or ()
        of_kind = (dataset.reads for dataset in DATASETS.values() if dataset.kind == self.kind)
        named = DATASETS.get(self.dataset)
        others = set().union(published, *of_kind).difference(named.reads if named else published)
        for field in dataclasses.fields(self):
            if field.name in others and getattr(self, field.name) != field.default:
                raise UserError(
                    f"{option(f'data.{field.name}')} is set, but {self.dataset} does not read it: "
                    "leave it out, or choose another --data.dataset"
                )

    def with_absolute_paths(self) -> "DataConfig":
        """The same files with absolute paths."""
        names = ("manual_dir", "data_dir", *self.PATHS, *self.COPIED_PATHS)
        paths: dict[str, Any] = {
            name: _absolute(path) for name in names if (path := getattr(self, name)) is not None
        }
        lists = {name: tuple(map(_absolute, getattr(self, name))) for name in self.PATH_LISTS}
        return dataclasses.replace(self, **paths, **lists)

    @property
    def held_out_split(self) -> str:
        """The split of the final score."""
        return self.test_split

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Suggests what to lower if a batch exceeds the memory, the smallest change first."""
        batch_size = getattr(self, "batch_size", None)
        if batch_size is not None and batch_size > 1:
            yield f"lower --data.batch-size to {batch_size // 2}"


def split_option(config: DataConfig, split: str) -> str:
    """Returns the option that names a split; --split if none of the config's options does.

    Example:
        >>> from flax_transformer.data.plain_text_config import PlainTextConfig
        >>> split_option(PlainTextConfig(train_split="trian"), "trian")
        '--data.train-split'
    """
    names = ("train_split", "validation_split", "test_split")
    given = (name for name in names if getattr(config, name) == split)
    return next((option(f"data.{name}") for name in given), "--split")


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def data_root(config: DataConfig) -> Path:
    """Returns the folder of all prepared data sets: the config's, or TFDS's."""
    folder = config.data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return Path(folder).expanduser()


@dataclasses.dataclass(frozen=True)
class TextConfig(DataConfig):
    """Configuration shared by all text data sets."""

    vocab_size: int = 10_000
    """Maximum size of the vocabulary; a small training split may give a smaller one."""
    tokenizer: str | None = None
    """A Hugging Face tokenizer.json to use instead of training a tokenizer; it also sets the size
    of the vocabulary. It is copied into the workdir."""
    tokenizer_lines: int = 1_000_000
    """Maximum number of training texts (pairs, or lines of plain text) from which the subwords are
    learned. From a larger split, evenly spaced texts are used."""

    COPIED_PATHS = ("tokenizer",)
    LOWEST: ClassVar = {"batch_size": 1, "tokenizer_lines": 1, "max_length": 2}

    def __post_init__(self) -> None:
        check_number("--data.vocab-size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        super().__post_init__()
