"""The data sets by name, and how to open a split of one."""

import contextlib
import dataclasses
import difflib
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args

from flax_transformer.data.parallel_text import ParallelText
from flax_transformer.data.splits import read_split
from flax_transformer.data.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE
from flax_transformer.errors import UserError, check_number, unknown

BatchScope = Literal["all_devices", "device"]
TEXT_SPLITS = ("train", "validation", "test")
TEXT_FIELDS = tuple(f"{split}_{side}" for split in TEXT_SPLITS for side in ("source", "target"))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which sentences, how they become tokens, and how tokens become batches."""

    dataset: str = "number_words"
    """number_words, multi30k, text_files, or a TFDS translation data set: wmt14_translate/de-en."""
    source_language: str = "en"
    """Language to translate from, as the data set names it."""
    target_language: str = "de"
    """Language to translate into, as the data set names it."""
    form: Literal["raw", "tokenized"] = "raw"
    """multi30k: raw, or the authors' lower-cased, normalised and Moses-tokenised files."""
    manual_dir: str | None = None
    """Folder with the data set's files already in it, in place of a download."""
    data_dir: str | None = None
    """Where prepared data is kept; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""
    train_source: str | None = None
    """text_files: file to train from, one sentence a line."""
    train_target: str | None = None
    """text_files: its translation, line by line."""
    validation_source: str | None = None
    """text_files: file to validate on."""
    validation_target: str | None = None
    """text_files: its translation."""
    test_source: str | None = None
    """text_files: file to test on; may be left out."""
    test_target: str | None = None
    """text_files: its translation."""
    train_split: str = "train"
    """Split to train on."""
    validation_split: str = "validation"
    """Split to choose the best checkpoint on."""
    test_split: str = "test"
    """Split that is held out."""
    vocab_size: int = 10_000
    """Rows of the joint vocabulary at most; a small training split may give fewer."""
    max_length: int = 128
    """Tokens of a sentence with its end mark; longer pairs are left out of training."""
    tokens_per_batch: int = 4096
    """Target tokens of an update at most, padding counted; source tokens are not counted."""
    batch_size: int | None = None
    """Sentence pairs of an update, however long, in place of tokens_per_batch."""
    batch_scope: BatchScope = "all_devices"
    """What either number is for: an update over all_devices, or each device's share of it."""
    num_buckets: int = 6
    """Different batch shapes at most; each is compiled once. Packed rows have one."""
    packing: bool = False
    """Train on rows of max_length tokens with several pairs each, in place of batches of similar
    lengths: one batch shape, and less padding where both sides are about equally long."""

    def __post_init__(self) -> None:
        if self.vocab_size < MIN_VOCAB_SIZE:
            raise UserError(f"vocab_size {self.vocab_size} must be at least {MIN_VOCAB_SIZE}.")
        check_number("vocab_size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        for name in ("max_length", "tokens_per_batch", "batch_size", "num_buckets"):
            # What is too small is told below, each in its own way.
            number = getattr(self, name)
            if number is not None:
                check_number(name, number, number)
        if self.max_length < 2:
            raise UserError(
                f"max_length {self.max_length} must be at least 2: a token and its end."
            )
        _check_batch(self)
        if self.num_buckets < 1:
            raise UserError(f"num_buckets {self.num_buckets} must be at least 1.")
        if self.source_language == self.target_language and self.dataset != "text_files":
            raise UserError(
                f"source_language and target_language are both '{self.source_language}': "
                "give two languages."
            )
        _check_fields(self)

    def with_absolute_paths(self) -> "DataConfig":
        """The same files, found from any working folder."""
        paths = {name: getattr(self, name) for name in ("manual_dir", "data_dir", *TEXT_FIELDS)}
        found = {name: os.path.expanduser(path) for name, path in paths.items() if path is not None}
        given = {name: os.path.abspath(path) for name, path in found.items()}
        return dataclasses.replace(self, **given)

    def limits(self, num_devices: int) -> tuple[int | None, int | None]:
        """Target tokens and sentence pairs of an update over all devices; one of them is None."""
        factor = num_devices if self.batch_scope == "device" else 1
        pairs = self.batch_size
        return (factor * self.tokens_per_batch, None) if pairs is None else (None, factor * pairs)

    @property
    def held_out_split(self) -> str:
        """The split of the final score: test, or validation where text_files has no test files."""
        without_test = self.dataset == "text_files" and self.test_source is None
        return self.validation_split if without_test else self.test_split


class Dataset(NamedTuple):
    """How a data set is listed and built; `reads` names the config fields that it alone reads."""

    description: str
    languages: tuple[str, ...]
    builder: Callable[[DataConfig], Any]
    reads: tuple[str, ...] = ()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TFDS prints to standard output, which may be where translations go, and warns of our names.
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.setLevel(level)


@_quiet()
def open_split(config: DataConfig, split: str) -> ParallelText:
    """Opens a split, preparing the data set first if this has not been done.

    Args:
        config: which data set, and where it lies.
        split: a name such as "test", or a part of one such as "train[:1000]".

    Raises:
        UserError: if there is no such data set, split or language, or its files cannot be had.
    """
    builder = _build(config)
    keys = _keys(config, builder.info.features)
    builder = _prepared(builder, config)
    missing = config.dataset == "text_files" and split in TEXT_SPLITS
    hint = f" Give --data.{split}-source and --data.{split}-target." if missing else ""
    return read_split(builder, config.dataset, split, keys, hint)


@_quiet()
def _keys(config: DataConfig, features: Iterable[str]) -> tuple[str, str]:
    if config.dataset == "text_files":
        return "source", "target"
    _check_languages(config, features)
    return config.source_language, config.target_language


def _build(config: DataConfig) -> Any:
    return DATASETS.get(config.dataset, OTHER).builder(config)


def _prepared(builder: Any, config: DataConfig) -> Any:
    import tensorflow_datasets as tfds

    if builder.data_path.exists():
        return builder
    logging.getLogger(__name__).info("preparing %s in %s", config.dataset, builder.data_dir)
    tfds.disable_progress_bar()
    options = tfds.download.DownloadConfig(manual_dir=config.manual_dir)
    try:
        builder.download_and_prepare(download_config=options)
    except (OSError, ImportError, AssertionError, tfds.download.DownloadError) as error:
        if builder.data_path.exists():  # another process was the first to finish
            return _build(config)
        known = DATASETS.get(config.dataset, OTHER)
        advice = (
            "if it cannot be downloaded here, fetch its files elsewhere and give --data.manual-dir"
            if "manual_dir" in known.reads
            else "give a folder that can be written to as --data.data-dir"
        )
        raise UserError(
            f"cannot prepare {config.dataset} ({_first_line(error)}): {advice}."
        ) from error
    return builder


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().split("\n")), "") or type(error).__name__


def _storage(config: DataConfig) -> dict[str, Any]:
    return {"data_dir": config.data_dir, "file_format": "array_record"}


def _number_words(config: DataConfig) -> Any:
    from flax_transformer.data.number_words import NumberWords

    return NumberWords(**_storage(config))


def _multi30k(config: DataConfig) -> Any:
    from flax_transformer.data.multi30k import Multi30k

    return Multi30k(config=config.form, manual_dir=config.manual_dir, **_storage(config))


def _text_files(config: DataConfig) -> Any:
    from flax_transformer.data.text_files import TextFiles, complete_splits

    # Not when the config is made: an experiment file leaves the files to the command line.
    paths = {
        split: (getattr(config, f"{split}_source"), getattr(config, f"{split}_target"))
        for split in TEXT_SPLITS
    }
    return TextFiles(files=complete_splits(paths), **_storage(config))


def _tfds(config: DataConfig) -> Any:
    import tensorflow_datasets as tfds
    import tensorflow_datasets.translate  # registers the older translation data sets

    name, _, variant = config.dataset.partition("/")
    name = name.partition(":")[0]  # of the version
    # Our own have no variants, and TFDS explains in many lines how a name is written.
    if name in DATASETS or not (name.isascii() and name.isidentifier()):
        raise unknown("data set", config.dataset, DATASETS)
    try:
        return tfds.builder(config.dataset, **_storage(config))
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        raise unknown("data set", config.dataset, {*DATASETS, *near}) from None
    except (ValueError, AssertionError):  # the latter of a version
        known = tfds.builder_cls(name).builder_configs
        raise unknown(f"variant of {name}", variant, known) from None


DATASETS = {
    "number_words": Dataset(
        "numbers below a million in words; built in, needs no network",
        ("en", "de", "fr"),
        _number_words,
    ),
    "multi30k": Dataset(
        "29,000 image captions, raw or tokenised by the authors",
        ("en", "de", "fr"),
        _multi30k,
        ("form", "manual_dir"),
    ),
    "text_files": Dataset(
        "your own parallel text files, one sentence a line",
        (),
        _text_files,
        TEXT_FIELDS,
    ),
}
OTHER = Dataset("a translation data set of TFDS by its name", (), _tfds, ("manual_dir",))


def _check_batch(config: DataConfig) -> None:
    if config.batch_scope not in get_args(BatchScope):
        raise unknown("data.batch_scope", config.batch_scope, get_args(BatchScope))
    tokens, pairs = config.tokens_per_batch, config.batch_size
    if pairs is None and tokens < config.max_length:
        raise UserError(
            f"tokens_per_batch {tokens} holds no sentence of max_length {config.max_length}: "
            "raise the one or lower the other."
        )
    if pairs is not None and pairs < 1:
        raise UserError(f"batch_size {pairs} must be at least 1.")
    if pairs is not None and config.packing:
        raise UserError(
            f"batch_size {pairs} counts pairs, of which packed rows hold any number: give "
            "tokens_per_batch in its place, or leave packing out."
        )
    if pairs is not None and tokens != DataConfig.tokens_per_batch:
        raise UserError(
            f"batch_size {pairs} and tokens_per_batch {tokens} both say how large an update is: "
            f"leave one out, tokens_per_batch at its default, {DataConfig.tokens_per_batch}."
        )


def _check_fields(config: DataConfig) -> None:
    dataset = DATASETS.get(config.dataset, OTHER)
    specific = {name for entry in (*DATASETS.values(), OTHER) for name in entry.reads}
    for field in dataclasses.fields(config):
        is_set = getattr(config, field.name) != field.default
        if is_set and field.name in specific.difference(dataset.reads):
            raise UserError(
                f"{field.name} is set, but {config.dataset} does not read it: leave "
                f"--data.{field.name.replace('_', '-')} out, or choose another --data.dataset."
            )
    if dataset.languages:
        _check_languages(config, dataset.languages)


def _check_languages(config: DataConfig, known: Iterable[str]) -> None:
    for language in (config.source_language, config.target_language):
        if language not in known:
            raise unknown(f"language of {config.dataset}", language, known)
