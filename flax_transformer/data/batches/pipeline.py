"""From a data configuration to tokenised pairs, and from batches to a prefetching iterator."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.datasets.parallel_datasets import ParallelTextConfig, open_split
from flax_transformer.data.datasets.parallel_text import Pair
from flax_transformer.data.tokens.adopted_tokenizer import NUM_TRIED, adopt_tokenizer
from flax_transformer.data.tokens.kept_tokens import Kept
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError

if TYPE_CHECKING:
    import grain


def prepare_training(
    config: ParallelTextConfig, path: str | os.PathLike[str]
) -> tuple[Tokenizer, TokenizedPairs]:
    """Gives the tokenizer and the tokenised training split.

    The tokenizer is the one at path; if there is none yet, the one that the config names, or one
    trained on the split. It and the tokens are kept with the data set: the second time, no text is
    read.

    Raises:
        UserError: if a file is not a tokenizer, the training split cannot be opened, or nothing is
            left to train on.
    """
    split = open_split(config, config.train_split)
    read = functools.cache(lambda: list(split))
    if os.path.exists(path):
        tokenizer = Tokenizer.load(path)
    elif config.tokenizer is not None:
        tried = (text for pair in split[: NUM_TRIED // 2] for text in pair)
        tokenizer = adopt_tokenizer(config.tokenizer, tried)
    else:
        tokenizer = Kept(split.folder).tokenizer(
            ["tokenizer", *_text_of(config, config.train_split), config.vocab_size],
            lambda: Tokenizer.train((text for pair in read() for text in pair), config.vocab_size),
        )
    return tokenizer, _kept_pairs(config, tokenizer, config.train_split, split.folder, read)


def prepare_pairs(config: ParallelTextConfig, tokenizer: Tokenizer, split: str) -> TokenizedPairs:
    """Tokenises a split, or reads the tokens kept with the data set.

    Of the training split, pairs with a blank or an over-long side are left out and counted; of any
    other split every pair stays, an over-long side cut to max_length.

    Raises:
        UserError: if the split cannot be opened, or nothing is left to train on.
    """
    pairs = open_split(config, split)
    return _kept_pairs(config, tokenizer, split, pairs.folder, lambda: list(pairs))


def _kept_pairs(
    config: ParallelTextConfig,
    tokenizer: Tokenizer,
    split: str,
    folder: Path,
    read: Callable[[], list[Pair]],
) -> TokenizedPairs:
    is_training = split == config.train_split
    rules = config.max_length, is_training, tokenizer.to_json()
    return Kept(folder).pairs(
        ["pairs", *_text_of(config, split), *rules],
        lambda: _tokenise(config, tokenizer, split, read()),
    )


def _text_of(config: ParallelTextConfig, split: str) -> tuple[str, ...]:
    """Which text of a data set's folder; the folder tells the data set, its version and form."""
    return split, config.source_language, config.target_language


def _tokenise(
    config: ParallelTextConfig, tokenizer: Tokenizer, split: str, pairs: list[Pair]
) -> TokenizedPairs:
    source = TokenizedText.encode(tokenizer, (pair.source for pair in pairs))
    target = TokenizedText.encode(tokenizer, (pair.target for pair in pairs))
    if split != config.train_split:
        return TokenizedPairs(source.cut(config.max_length), target.cut(config.max_length))
    fits = np.maximum(source.lengths, target.lengths) <= config.max_length
    written = np.array([bool(pair.source.strip() and pair.target.strip()) for pair in pairs], bool)
    chosen = np.flatnonzero(fits & written)
    if not chosen.size:
        raise UserError(
            f"none of the {len(pairs)} pairs of {split} has two sides of 1 to {config.max_length} "
            "tokens: raise --data.max-length, or look at the files."
        )
    return TokenizedPairs(source.select(chosen), target.select(chosen), len(pairs) - chosen.size)


def training_pipeline(
    batches: Batches, start_step: int = 0, num_threads: int = 2, prefetch: int = 8
) -> "grain.DatasetIterator[Any]":
    """Iterates over the batches of start_step and all later steps, built ahead in threads.

    The iterator's `get_state` is a small dictionary that JSON can hold; its `set_state` continues
    with exactly the batch that would have come next. What a thread raises, `next` raises.

    Args:
        batches: the batches of this process.
        start_step: first training step to give.
        num_threads: threads that build batches.
        prefetch: batches kept ready.
    """
    import grain  # takes a second that no other command needs

    steps = grain.MapDataset.range(sys.maxsize).map(batches.__getitem__)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=prefetch)
    iterator = iter(steps.to_iter_dataset(options))
    iterator.set_state({"next_index": start_step})
    return iterator
