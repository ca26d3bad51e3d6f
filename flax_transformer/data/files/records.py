"""The records of a prepared data set; errors about damaged files name the folder to delete."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flax_transformer.errors import UserError

INFO = "dataset_info.json"  # written by TFDS next to the records
READ_SIZE = 4096  # records read at one time


def read_records(source: Any, folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yields all records of a split, read in groups: one at a time takes three times as long.

    Each shard has checksums: a changed byte makes a record unreadable, never different.

    Args:
        source: TFDS's data source.
        folder: folder of the prepared data set.

    Raises:
        UserError: if a record is damaged.
    """
    for start in range(0, len(source), READ_SIZE):
        indices = list(range(len(source))[start : start + READ_SIZE])
        try:
            records = source.__getitems__(indices)
        except TypeError:  # from `tfds.testing.mock_data`, which cannot read several records
            records = [source[index] for index in indices]
        except RuntimeError as error:  # from the C++ library of array_record
            raise damaged(folder, "a record cannot be read") from error
        yield from records


def check_info(folder: Path) -> None:
    """Rejects a folder of a prepared data set without a readable description.

    Raises:
        UserError: if its description is missing, or was not written by TFDS.
    """
    from tensorflow_datasets.core import FileFormat, dataset_info

    if not (folder / INFO).is_file():
        raise damaged(folder, f"{INFO} is missing")
    try:
        info = dataset_info.read_proto_from_builder_dir(folder)
    except Exception:  # from JSON, UTF-8 or protocol buffers
        raise damaged(folder, f"{INFO} cannot be read") from None
    known = {"", *(file_format.value for file_format in FileFormat)}
    if not info.splits or info.version != folder.name or info.file_format not in known:
        raise damaged(folder, f"{INFO} is changed")


def check_infos(root: Path) -> None:
    """Finds the damaged description after TFDS failed to make a builder; TFDS names no folder.

    Args:
        root: the folder of all prepared data sets, or of one of them.

    Raises:
        UserError: naming the first folder whose description cannot be read.
    """
    # The folders below are a data set, its configuration if it has several, and its version.
    for depth in ("*", "*/*", "*/*/*"):
        for path in sorted(root.glob(f"{depth}/{INFO}")):
            check_info(path.parent)


def check_shards(builder: Any, split: str) -> None:
    """Rejects a split with a missing or cut shard, or a shard with another number of records.

    Without this check, a shard cut at a block of its format would be read as empty records.

    Args:
        builder: TFDS's builder of the prepared data set.
        split: a name, or a part of a split.

    Raises:
        UserError: naming the shard.
    """
    from array_record.python.array_record_module import ArrayRecordReader

    folder = Path(builder.data_path)
    for shard in builder.info.splits[split].file_instructions:
        path = Path(shard.filename)
        if not path.is_file():
            raise damaged(folder, f"{path.name} is missing")
        try:
            reader = ArrayRecordReader(str(path))
            is_whole = reader.ok() and reader.num_records() == shard.examples_in_shard
            reader.close()
        except RuntimeError:
            is_whole = False
        if not is_whole:
            raise damaged(folder, f"{path.name} is cut or changed")


def damaged(folder: Path, reason: str) -> UserError:
    """Creates the error for a folder of prepared data that cannot be used."""
    return UserError(
        f"the prepared data in {folder} is damaged ({reason}): delete this folder, then the same "
        "command prepares it again"
    )
