"""Preparing a data set once, by its TFDS builder, and reading its splits."""

import contextlib
import difflib
import io
import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.files.records import (
    Records,
    check_info,
    check_infos,
    check_shards,
    damaged,
)
from flax_transformer.errors import UserError, unknown


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS silent.

    It prints to standard output, which may be where translations go, and warns of our names.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.setLevel(level)


def prepare(
    build: Callable[[], Any],
    config: DataConfig,
    *,
    is_fetched: bool,
    check: Callable[[Any], object] = lambda _: None,
) -> Any:
    """Gives the builder of a data set that is prepared, which is done first if it was not yet.

    Args:
        build: makes the builder.
        config: names the data set, and the folder with its files, if there is one.
        is_fetched: whether it has files to fetch; others are made here.
        check: refuses a builder before anything is prepared.

    Raises:
        UserError: if it cannot be prepared.
    """
    import tensorflow_datasets as tfds

    try:
        builder = build()
    except UserError:
        raise
    except Exception:
        check_infos(_root(config))
        raise
    check(builder)
    if builder.data_path.exists():
        check_info(Path(builder.data_path))
        return builder
    logging.getLogger(__name__).info("preparing %s in %s", config.dataset, builder.data_dir)
    tfds.disable_progress_bar()
    options = tfds.download.DownloadConfig(manual_dir=config.manual_dir)
    try:
        builder.download_and_prepare(download_config=options)
    except (OSError, ImportError, AssertionError, tfds.download.DownloadError) as error:
        if builder.data_path.exists():  # another process was the first to finish
            return build()
        advice = (
            "if it cannot be downloaded here, fetch its files elsewhere and give --data.manual-dir"
            if is_fetched
            else "give a folder that can be written to as --data.data-dir"
        )
        raise UserError(
            f"cannot prepare {config.dataset} ({_first_line(error)}): {advice}."
        ) from error
    return builder


def find_published(config: DataConfig, own: Collection[str]) -> Any:
    """Gives the builder of a data set of TFDS by its name, such as wmt14_translate/de-en.

    Args:
        config: names the data set.
        own: names of our own data sets of the kind.

    Raises:
        UserError: if TFDS has no such data set, or not this variant of it.
    """
    import tensorflow_datasets as tfds

    name, _, variant = config.dataset.partition("/")
    name = name.partition(":")[0]  # of the version
    # Our own have no variants, and TFDS explains in many lines how a name is written.
    if name in own or not (name.isascii() and name.isidentifier()):
        raise unknown("data set", config.dataset, own)
    try:
        return tfds.builder(config.dataset, data_dir=config.data_dir, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        raise unknown("data set", config.dataset, {*own, *near}) from None
    except (ValueError, AssertionError):  # the latter of a version
        check_infos(_root(config) / name)
        known = tfds.builder_cls(name).builder_configs
        raise unknown(f"variant of {name}", variant, known) from None


def _root(config: DataConfig) -> Path:
    """Where prepared data is kept."""
    from tensorflow_datasets.core import constants

    return Path(config.data_dir or constants.DATA_DIR).expanduser()


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().split("\n")), "") or type(error).__name__


def read_split(builder: Any, dataset: str, split: str, hint: str = "") -> Records:
    """Gives the records of a split of a prepared data set, or of a part of one.

    Args:
        builder: TFDS's, of the prepared data set.
        dataset: its name, as the user gave it.
        split: a name such as "test", or a part of one such as "train[:1000]".
        hint: what else to say where there is no such split.

    Returns:
        The records, each a dictionary by feature.

    Raises:
        UserError: if there is no such split, the part is empty, the data set was prepared in a
            format without random access, or a file of it is damaged.
    """
    try:
        records = Records(builder.as_data_source(split), Path(builder.data_path))
        len(records)  # of a part that ends before it begins: negative, and thus a ValueError
    except NotImplementedError:
        raise UserError(
            f"{builder.data_dir} was prepared without random access: give another --data.data-dir."
        ) from None
    except ValueError:
        known = builder.info.splits
        name, bracket, _ = split.partition("[")
        if bracket and name in known:
            raise UserError(
                f"'{split}' is no part of {dataset}'s {name}, or one without an example: give one "
                f"such as '{name}[:1000]' or '{name}[10%:20%]'."
            ) from None
        if split in known:
            raise damaged(Path(builder.data_path), f"its {split} cannot be found") from None
        raise UserError(f"{unknown(f'split of {dataset}', split, known)}{hint}") from None
    if builder.data_path.exists():  # it does not with `tfds.testing.mock_data`
        check_shards(builder, split)
    return records
