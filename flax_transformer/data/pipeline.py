"""From a data configuration to tokenised pairs, and from batches to a prefetching iterator."""

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from flax_transformer.data.batching import Batch, TrainingBatches
from flax_transformer.data.datasets import DataConfig, open_split
from flax_transformer.data.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokenizer import Tokenizer
from flax_transformer.errors import UserError

if TYPE_CHECKING:
    import grain


def load_or_train_tokenizer(config: DataConfig, path: str | os.PathLike[str]) -> Tokenizer:
    """Reads the tokenizer at path, or trains one on the training split if there is none yet.

    Raises:
        UserError: if the file is no tokenizer, or the training split cannot be opened.
    """
    if os.path.exists(path):
        return Tokenizer.load(path)
    pairs = open_split(config, config.train_split)
    return Tokenizer.train((text for pair in pairs for text in pair), config.vocab_size)


def prepare_pairs(config: DataConfig, tokenizer: Tokenizer, split: str) -> TokenizedPairs:
    """Tokenises a split.

    Of the training split, pairs with a blank or an over-long side are left out and counted; of any
    other split every pair stays, an over-long side cut to max_length.

    Raises:
        UserError: if the split cannot be opened, or nothing is left to train on.
    """
    pairs = list(open_split(config, split))
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
    batches: TrainingBatches, start_step: int = 0, num_threads: int = 2, prefetch: int = 8
) -> "grain.DatasetIterator[Batch]":
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
