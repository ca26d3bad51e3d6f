"""The data sets of sentence pairs by name, and how to open a split of one."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.data_config import DataConfig, check_counts, check_fields
from flax_transformer.data.datasets.parallel_text import ParallelText
from flax_transformer.data.datasets.prepare import find_published, prepare, quiet, read_split
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE
from flax_transformer.errors import UserError, check_number, unknown

BatchScope = Literal["all_devices", "device"]
TEXT_SPLITS = ("train", "validation", "test")
SIDES = ("source", "target", "pairs")
TEXT_FIELDS = tuple(f"{split}_{side}" for split in TEXT_SPLITS for side in SIDES)
COLUMNS = ("source_column", "target_column")
REFERENCES = ("validation_references", "test_references")


@dataclasses.dataclass(frozen=True)
class ParallelTextConfig(DataConfig):
    """Which sentence pairs, how they become tokens, and how tokens become batches."""

    dataset: str = "number_words"
    """number_words, multi30k, text_files, copy, reverse, sort, or a TFDS translation data set:
    wmt14_translate/de-en."""
    source_language: str = "en"
    """Language to translate from, as the data set names it."""
    target_language: str = "de"
    """Language to translate into, as the data set names it."""
    form: Literal["raw", "tokenized"] = "raw"
    """multi30k: raw, or the authors' lower-cased, normalised and Moses-tokenised files."""
    train_source: str | None = None
    """text_files: file to train from, one sentence a line."""
    train_target: str | None = None
    """text_files: its translation, line by line."""
    validation_source: str | None = None
    """text_files: file to validate on; without one, a twentieth of the training pairs is held out,
    at most 1,000, and none of their sources is left in training."""
    validation_target: str | None = None
    """text_files: its translation."""
    test_source: str | None = None
    """text_files: file to test on; may be left out."""
    test_target: str | None = None
    """text_files: its translation."""
    train_pairs: str | None = None
    """text_files: file with one pair a line, in columns separated by tabs, instead of train_source
    and train_target."""
    validation_pairs: str | None = None
    """text_files: the same to validate on."""
    test_pairs: str | None = None
    """text_files: the same to test on."""
    source_column: int = 1
    """text_files: column of the source in files of pairs, counted from 1."""
    target_column: int = 2
    """text_files: column of its translation."""
    validation_references: tuple[str, ...] = ()
    """text_files: a file with further translations of the pairs to validate on, line by line; given
    once for each file. BLEU, chrF and exact match use all translations, loss and perplexity only
    the first."""
    test_references: tuple[str, ...] = ()
    """text_files: the same for the pairs to test on."""
    vocab_size: int = 10_000
    """Rows of the joint vocabulary at most; a small training split may give fewer."""
    tokenizer: str | None = None
    """A tokenizer.json of Hugging Face, used instead of training a tokenizer; it also sets the size
    of the vocabulary. It is copied into the workdir."""
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

    PATHS = TEXT_FIELDS
    PATH_LISTS = REFERENCES
    COPIED_PATHS = ("tokenizer",)

    def __post_init__(self) -> None:
        if self.vocab_size < MIN_VOCAB_SIZE:
            raise UserError(f"vocab_size {self.vocab_size} must be at least {MIN_VOCAB_SIZE}.")
        check_number("vocab_size", self.vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        check_counts(self)
        if self.max_length < 2:
            raise UserError(
                f"max_length {self.max_length} must be at least 2: a token and its end."
            )
        _check_batch(self)
        if self.num_buckets < 1:
            raise UserError(f"num_buckets {self.num_buckets} must be at least 1.")
        dataset = DATASETS.get(self.dataset, OTHER)
        if self.source_language == self.target_language and dataset.has_languages:
            raise UserError(
                f"source_language and target_language are both '{self.source_language}': "
                "give two languages."
            )
        specific = (name for entry in (*DATASETS.values(), OTHER) for name in entry.reads)
        check_fields(self, dataset.reads, specific)
        _check_columns(self)
        if dataset.languages:
            _check_languages(self, dataset.languages)

    def limits(self, num_devices: int) -> tuple[int | None, int | None]:
        """Target tokens and sentence pairs of an update over all devices; one of them is None."""
        factor = num_devices if self.batch_scope == "device" else 1
        pairs = self.batch_size
        return (factor * self.tokens_per_batch, None) if pairs is None else (None, factor * pairs)

    @property
    def held_out_split(self) -> str:
        """The split of the final score: test, or validation where text_files has no test files."""
        has_test = self.test_source is not None or self.test_pairs is not None
        without_test = self.dataset == "text_files" and not has_test
        return self.validation_split if without_test else self.test_split

    def smaller_batches(self, batch: Batch) -> Iterator[str]:
        """Says what to lower where a batch is too large: an update, then the longest pairs."""
        if self.batch_size is None:
            half = max(self.tokens_per_batch // 2, self.max_length)
            if half < self.tokens_per_batch:
                yield f"lower --data.tokens-per-batch to {half}"
        elif self.batch_size > 1:
            yield f"lower --data.batch-size to {self.batch_size // 2}"
        longest = max(batch.source.shape[1], batch.target.shape[1])
        if longest > 2:
            yield f"lower --data.max-length to {longest // 2} (leaves longer pairs out)"


class Dataset(NamedTuple):
    """How a data set of pairs is listed and built.

    Attributes:
        description: a line.
        languages: that are known before it is built.
        builder: makes TFDS's builder of it.
        reads: config fields that it alone reads.
        has_languages: whether the sides of a pair are named by languages, not source and target.
    """

    description: str
    languages: tuple[str, ...]
    builder: Callable[[ParallelTextConfig], Any]
    reads: tuple[str, ...] = ()
    has_languages: bool = True


@quiet()
def open_split(config: ParallelTextConfig, split: str) -> ParallelText:
    """Opens a split, preparing the data set first if this has not been done.

    Args:
        config: which data set, and where it lies.
        split: a name such as "test", or a part of one such as "train[:1000]".

    Raises:
        UserError: if there is no such data set, split or language, or its files cannot be had.
    """
    dataset = DATASETS.get(config.dataset, OTHER)
    has_languages = dataset.has_languages
    builder = prepare(
        lambda: dataset.builder(config),
        config,
        is_fetched="manual_dir" in dataset.reads,
        check=lambda builder: not has_languages or _check_languages(config, builder.info.features),
    )
    missing = config.dataset == "text_files" and split in TEXT_SPLITS
    hint = f" Give --data.{split}-source and --data.{split}-target." if missing else ""
    records = read_split(builder, config.dataset, split, hint)
    keys = ("source", "target")
    if has_languages:
        keys = config.source_language, config.target_language
    has_references = config.dataset == "text_files" and "references" in builder.info.features
    references = "references" if has_references else None
    return ParallelText(records, *keys, Path(builder.data_path), references)


def _storage(config: ParallelTextConfig) -> dict[str, Any]:
    return {"data_dir": config.data_dir, "file_format": "array_record"}


def _number_words(config: ParallelTextConfig) -> Any:
    from flax_transformer.data.datasets.number_words import NumberWords

    return NumberWords(**_storage(config))


def _multi30k(config: ParallelTextConfig) -> Any:
    from flax_transformer.data.datasets.multi30k import Multi30k

    return Multi30k(config=config.form, manual_dir=config.manual_dir, **_storage(config))


def _text_files(config: ParallelTextConfig) -> Any:
    from flax_transformer.data.datasets.parallel_files import TextFiles, find_pair_files

    # Not when the config is made: an experiment file leaves the files to the command line.
    files = find_pair_files(config)
    name = config.validation_split.partition("[")[0]
    hold_out = "validation" not in files and name == "validation"
    return TextFiles(files=files, hold_out=hold_out, **_storage(config))


def _tfds(config: ParallelTextConfig) -> Any:
    import tensorflow_datasets.translate  # noqa: F401  # registers the older ones

    return find_published(config, DATASETS)


def _rows_of_letters(order: str) -> Dataset:
    def build(config: ParallelTextConfig) -> Any:
        from flax_transformer.data.datasets.letters import Letters

        return Letters(order=order, **_storage(config))

    description = f"rows of up to 16 letters to {order}; built in, needs no network"
    return Dataset(description, (), build, has_languages=False)


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
        "your own parallel text: two files line by line, or a file of pairs",
        (),
        _text_files,
        (*TEXT_FIELDS, *COLUMNS, *REFERENCES),
        has_languages=False,
    ),
    **{order: _rows_of_letters(order) for order in ("copy", "reverse", "sort")},
}
OTHER = Dataset("a translation data set of TFDS by its name", (), _tfds, ("manual_dir",))


def _check_batch(config: ParallelTextConfig) -> None:
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
    if pairs is not None and tokens != ParallelTextConfig.tokens_per_batch:
        raise UserError(
            f"batch_size {pairs} and tokens_per_batch {tokens} both say how large an update is: "
            "leave one out, tokens_per_batch at its default, "
            f"{ParallelTextConfig.tokens_per_batch}."
        )


def _check_columns(config: ParallelTextConfig) -> None:
    for name in COLUMNS:
        check_number(f"data.{name}", getattr(config, name))
    if config.source_column == config.target_column:
        raise UserError(
            f"--data.source-column and --data.target-column are both {config.source_column}: give "
            "two columns"
        )


def _check_languages(config: ParallelTextConfig, known: Iterable[str]) -> None:
    for language in (config.source_language, config.target_language):
        if language not in known:
            raise unknown(f"language of {config.dataset}", language, known)
