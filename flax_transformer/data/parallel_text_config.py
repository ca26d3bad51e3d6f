"""Sentence pairs: the data set, its tokenization, and its batches."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, get_args

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.data_config import TextConfig
from flax_transformer.data.datasets.datasets import DATASETS
from flax_transformer.errors import UserError, option, unknown

BatchScope = Literal["all_devices", "device"]


@dataclasses.dataclass(frozen=True)
class ParallelTextConfig(TextConfig):
    """The sentence pairs, their tokenization, and their batches."""

    dataset: str = "number_words"
    """number_words, multi30k, text_files, copy, reverse, sort, or a TFDS translation data set
    such as wmt14_translate/de-en."""
    source_language: str = "en"
    """Source language, by its name in the data set."""
    target_language: str = "de"
    """Target language, by its name in the data set."""
    form: Literal["raw", "tokenized"] = "raw"
    """multi30k: raw, or the authors' lower-cased, normalized and Moses-tokenized files."""
    train_source: str | None = None
    """text_files: source file for training, one sentence a line."""
    train_target: str | None = None
    """text_files: its translation, line by line."""
    validation_source: str | None = None
    """text_files: source file for validation. Without one, a twentieth of the training pairs is
    held out, at most 1,000; training then contains none of their sources."""
    validation_target: str | None = None
    """text_files: its translation."""
    test_source: str | None = None
    """text_files: source file for testing; optional."""
    test_target: str | None = None
    """text_files: its translation."""
    train_pairs: str | None = None
    """text_files: file with one pair a line, in tab-separated columns, instead of train_source and
    train_target."""
    validation_pairs: str | None = None
    """text_files: the same for validation."""
    test_pairs: str | None = None
    """text_files: the same for testing."""
    source_column: int = 1
    """text_files: source column in files of pairs, counted from 1."""
    target_column: int = 2
    """text_files: target column in files of pairs, counted from 1."""
    validation_references: tuple[str, ...] = ()
    """text_files: a file with further translations of the validation pairs, line by line; repeat
    the option for several files. BLEU, chrF and exact match use all translations, loss and
    perplexity only the first."""
    test_references: tuple[str, ...] = ()
    """text_files: the same for the test pairs."""
    max_length: int = 128
    """Maximum tokens of a sentence, including its end mark; training leaves out longer pairs."""
    tokens_per_batch: int = 4096
    """Maximum target tokens of an update, padding included; source tokens are not counted."""
    batch_size: int | None = None
    """Sentence pairs of an update, regardless of length, instead of tokens_per_batch."""
    batch_scope: BatchScope = "all_devices"
    """Scope of tokens_per_batch and batch_size: an update over all_devices, or each device's
    share."""
    num_buckets: int = 6
    """Maximum number of batch shapes; each is compiled once. Packed rows have one shape."""
    packing: bool = False
    """Train on rows of max_length tokens with several pairs each, instead of batches of similar
    lengths. This needs one batch shape, and less padding if both sides have similar lengths."""

    kind: ClassVar = "pair"
    PATHS = tuple(
        f"{split}_{side}"
        for split in ("train", "validation", "test")
        for side in ("source", "target", "pairs")
    )
    PATH_LISTS = ("validation_references", "test_references")
    LOWEST: ClassVar = {
        **TextConfig.LOWEST,
        **dict.fromkeys(("tokens_per_batch", "num_buckets", "source_column", "target_column"), 1),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_batch(self)
        dataset = DATASETS.get(self.dataset)
        languages = self.source_language, self.target_language
        # The languages of a TFDS data set are known only when it is opened.
        if len(set(languages)) == 1 and (dataset is None or dataset.languages):
            raise UserError(
                "--data.source-language and --data.target-language are both "
                f"'{self.source_language}': give two languages"
            )
        if self.source_column == self.target_column:
            raise UserError(
                f"--data.source-column and --data.target-column are both {self.source_column}: "
                "give two columns"
            )
        known = () if dataset is None else dataset.languages
        if known:
            check_languages(self, known)

    def limits(self, num_devices: int) -> tuple[int | None, int | None]:
        """Target tokens and sentence pairs of an update over all devices; one of them is None."""
        factor = num_devices if self.batch_scope == "device" else 1
        pairs = self.batch_size
        return (factor * self.tokens_per_batch, None) if pairs is None else (None, factor * pairs)

    @property
    def held_out_split(self) -> str:
        """The split of the final score: test, or validation where text_files has no test files."""
        if self.dataset == "text_files" and self.test_source is None and self.test_pairs is None:
            return self.validation_split
        return self.test_split

    def smaller_batches(self, batch: Batch) -> Iterator[str]:
        """Suggests what to lower if a batch is too large: the update, then the longest pairs."""
        if self.batch_size is None:
            half = max(self.tokens_per_batch // 2, self.max_length)
            if half < self.tokens_per_batch:
                yield f"lower --data.tokens-per-batch to {half}"
        yield from super().smaller_batches(batch)
        longest = max(batch.source.shape[1], batch.target.shape[1])
        if longest > 2:
            yield f"lower --data.max-length to {longest // 2} (leaves longer pairs out)"


def check_languages(config: ParallelTextConfig, known: Iterable[str]) -> None:
    """Rejects languages that the data set does not have.

    Raises:
        UserError: names the option of the first such language.
    """
    for name in ("source_language", "target_language"):
        language = getattr(config, name)
        if language not in known:
            raise unknown(f"{option(f'data.{name}')} of {config.dataset}", language, known)


def _check_batch(config: ParallelTextConfig) -> None:
    if config.batch_scope not in get_args(BatchScope):
        raise unknown("--data.batch-scope", config.batch_scope, get_args(BatchScope))
    tokens, pairs = config.tokens_per_batch, config.batch_size
    if pairs is None and tokens < config.max_length:
        raise UserError(
            f"--data.tokens-per-batch {tokens} is below --data.max-length "
            f"{config.max_length}: raise the first or lower the second"
        )
    if pairs is not None and config.packing:
        raise UserError(
            f"--data.batch-size {pairs} counts pairs, of which packed rows hold any number: give "
            "--data.tokens-per-batch instead, or leave --data.packing out"
        )
    if pairs is not None and tokens != ParallelTextConfig.tokens_per_batch:
        raise UserError(
            f"--data.batch-size {pairs} and --data.tokens-per-batch {tokens} both set the size of "
            "an update: leave one out (the default of --data.tokens-per-batch is "
            f"{ParallelTextConfig.tokens_per_batch})"
        )
