"""Sentence pairs: which, how they become tokens, and how tokens become batches."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar, Literal, get_args

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.data_config import TextConfig
from flax_transformer.data.datasets.datasets import DATASETS
from flax_transformer.errors import UserError, unknown

BatchScope = Literal["all_devices", "device"]


@dataclasses.dataclass(frozen=True)
class ParallelTextConfig(TextConfig):
    """Which sentence pairs, how they become tokens, and how tokens become batches."""

    dataset: str = "number_words"
    """number_words, multi30k, text_files, copy, reverse, sort, or a TFDS translation data set:
    wmt14_translate/de-en."""
    source_language: str = "en"
    """Language to translate from, as the data set names it."""
    target_language: str = "de"
    """Language to translate into, as the data set names it."""
    form: Literal["raw", "tokenized"] = "raw"
    """multi30k: raw, or the authors' lower-cased, normalized and Moses-tokenized files."""
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
    max_length: int = 128
    """Tokens of a sentence with its end mark; longer pairs are left out of training."""
    tokens_per_batch: int = 4096
    """Target tokens of an update at most, padding counted; source tokens are not counted."""
    batch_size: int | None = None
    """Sentence pairs of an update, however long, instead of tokens_per_batch."""
    batch_scope: BatchScope = "all_devices"
    """What either number is for: an update over all_devices, or each device's share of it."""
    num_buckets: int = 6
    """Different batch shapes at most; each is compiled once. Packed rows have one."""
    packing: bool = False
    """Train on rows of max_length tokens with several pairs each, instead of batches of similar
    lengths: one batch shape, and less padding where both sides are about equally long."""

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
        # Of a data set of TFDS, they are known when it is opened.
        if len(set(languages)) == 1 and (dataset is None or dataset.languages):
            raise UserError(
                f"source_language and target_language are both '{self.source_language}': "
                "give two languages."
            )
        if self.source_column == self.target_column:
            raise UserError(
                f"--data.source-column and --data.target-column are both {self.source_column}: "
                "give two columns"
            )
        known = () if dataset is None else dataset.languages
        for language in languages if known else ():
            if language not in known:
                raise unknown(f"language of {self.dataset}", language, known)

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
        """Says what to lower where a batch is too large: an update, then the longest pairs."""
        if self.batch_size is None:
            half = max(self.tokens_per_batch // 2, self.max_length)
            if half < self.tokens_per_batch:
                yield f"lower --data.tokens-per-batch to {half}"
        yield from super().smaller_batches(batch)
        longest = max(batch.source.shape[1], batch.target.shape[1])
        if longest > 2:
            yield f"lower --data.max-length to {longest // 2} (leaves longer pairs out)"


def _check_batch(config: ParallelTextConfig) -> None:
    if config.batch_scope not in get_args(BatchScope):
        raise unknown("data.batch_scope", config.batch_scope, get_args(BatchScope))
    tokens, pairs = config.tokens_per_batch, config.batch_size
    if pairs is None and tokens < config.max_length:
        raise UserError(
            f"tokens_per_batch {tokens} holds no sentence of max_length {config.max_length}: "
            "raise the one or lower the other."
        )
    if pairs is not None and config.packing:
        raise UserError(
            f"batch_size {pairs} counts pairs, of which packed rows hold any number: give "
            "tokens_per_batch instead, or leave packing out."
        )
    if pairs is not None and tokens != ParallelTextConfig.tokens_per_batch:
        raise UserError(
            f"batch_size {pairs} and tokens_per_batch {tokens} both say how large an update is: "
            "leave one out, tokens_per_batch at its default, "
            f"{ParallelTextConfig.tokens_per_batch}."
        )
