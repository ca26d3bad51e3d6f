"""What every data set is told, whatever its examples are."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from flax_transformer.errors import check_number

# What is as large as a user likes, but counted in 32 bits.
COUNTS = ("max_length", "tokens_per_batch", "batch_size", "num_buckets")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which data set, where it lies, and which of its splits are used for what."""

    dataset: str
    """Name of the data set; `flax-transformer list` shows them."""
    manual_dir: str | None = None
    """Folder with the data set's files already in it, instead of a download."""
    data_dir: str | None = None
    """Where prepared data is kept; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split to train on."""
    validation_split: str = "validation"
    """Split to choose the best checkpoint on."""
    test_split: str = "test"
    """Split that is held out."""

    kind: ClassVar[str]
    """Of the data sets that it names: pair, text, labeled_text, image or video."""
    PUBLISHED_READS: ClassVar[tuple[str, ...] | None] = ("manual_dir",)
    """Fields that data sets of TFDS read, of those that not every data set does; None if it names
    none of these."""
    PATHS: ClassVar[tuple[str, ...]] = ()
    """Fields that are paths, beside the two folders."""
    PATH_LISTS: ClassVar[tuple[str, ...]] = ()
    """Fields that are several paths."""
    COPIED_PATHS: ClassVar[tuple[str, ...]] = ()
    """Fields that are paths of files copied into the workdir: the originals may be deleted."""
    ENDINGS: ClassVar[tuple[str, ...]] = ("",)
    """Endings of the files that are read in a folder given as a path."""

    def with_absolute_paths(self) -> "DataConfig":
        """The same files, found from any working folder."""
        single = ("manual_dir", "data_dir", *self.PATHS, *self.COPIED_PATHS)
        paths = {name: getattr(self, name) for name in single}
        given: dict[str, Any] = {
            name: _absolute(path) for name, path in paths.items() if path is not None
        }
        lists = {name: tuple(map(_absolute, getattr(self, name))) for name in self.PATH_LISTS}
        return dataclasses.replace(self, **given, **lists)

    @property
    def held_out_split(self) -> str:
        """The split of the final score."""
        return self.test_split

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Says what to lower where a batch is too large for the memory, the gentlest first."""
        raise NotImplementedError


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def data_root(config: DataConfig) -> Path:
    """Gives the folder of all prepared data sets: the config's, or TFDS's."""
    usual = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return Path(config.data_dir or usual).expanduser()


def check_counts(config: DataConfig) -> None:
    """Refuses numbers beyond 32 bits; what is too small is told by each config in its own way."""
    for name in COUNTS:
        number = getattr(config, name, None)
        if number is not None:
            check_number(name, number, number)


@dataclasses.dataclass(frozen=True)
class LabeledConfig(DataConfig):
    """What all labeled data sets are told."""

    batch_size: int = 64
    """Examples of an update, over all devices."""

    def __post_init__(self) -> None:
        check_counts(self)
        check_number("data.batch_size", self.batch_size)

    def smaller_batches(self, batch: Any) -> Iterator[str]:
        """Says what to lower where a batch is too large."""
        if self.batch_size > 1:
            yield f"lower --data.batch-size to {self.batch_size // 2}"
