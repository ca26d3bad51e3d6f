"""Translations of a batch of sources, searched for in one compiled program a shape."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, UInt32

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits
from flax_transformer.decoding.sampling import row_keys, text_number
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.functional.cache import Cache
from flax_transformer.tasks.task import Model, Variables


class _Settings(NamedTuple):
    """What a program is compiled for, besides shapes."""

    decoding: DecodingConfig
    num_halvings: int
    eos_id: int
    pad_id: int


def begin_targets(batch: Batch, prompt: Sequence[int]) -> Batch:
    """Lets every target of a batch begin with the same tokens, the begin mark first."""
    target = np.tile(np.array(prompt, np.int32), (len(batch.source), 1))
    return batch._replace(target=target, target_segments=np.ones_like(target))


def search_sources(
    model: Model,
    variables: Variables,
    tokenizer: Tokenizer,
    batch: Batch,
    decoding: DecodingConfig,
    *,
    seed: int = 0,
    num_halvings: int = 0,
) -> Hypotheses:
    """Searches for the translations of the sources of a batch.

    Args:
        model: the encoder-decoder.
        variables: of the model.
        tokenizer: whose end mark ends a translation.
        batch: sources, and the beginnings of the targets.
        decoding: how to search.
        seed: of sampling.
        num_halvings: of a beam search, see `search`.
    """
    rows = zip(batch.source, batch.source_segments != 0, strict=True)
    # Numbers that identify the rows of a batch, whatever their padding.
    numbers = np.array([[text_number(row[is_token])] for row, is_token in rows], np.uint32)
    halvings = num_halvings if decoding.method == "beam" else 0
    # Stop strings do not change the program: without them it is compiled once.
    of_tokens = dataclasses.replace(decoding, stop=())
    settings = _Settings(of_tokens, halvings, tokenizer.eos_id, tokenizer.pad_id)
    return _search(model, variables, batch, numbers, jax.random.key(seed), settings)


@functools.partial(jax.jit, static_argnames=("model", "settings"))
def _search(
    model: Model,
    variables: Variables,
    batch: Batch,
    numbers: UInt32[Array, "rows 1"],
    rng: PRNGKeyArray,
    settings: _Settings,
) -> Hypotheses:
    decoding, prompt = settings.decoding, jnp.asarray(batch.target)
    # The begin mark takes one position, and the last token found is never read.
    num_given = prompt.shape[1] - 1
    max_length = batch.source.shape[1] + decoding.max_extra_length
    max_length = min(max_length, model.config.position_limit() or max_length)
    max_length = max(max_length - num_given, 1)
    lengths = jnp.sum(batch.source_segments != 0, axis=1)

    def step(tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        is_token = tokens != settings.pad_id
        return model.apply(variables, tokens, cache, is_token=is_token, method=model.decode)

    return search(
        decoding,
        step,
        model.apply(
            variables,
            batch.source,
            num_given + max_length,
            segments=batch.source_segments,
            method=model.start,
        ),
        prompt,
        SearchLimits(
            max_length=max_length,
            eos_id=settings.eos_id,
            pad_id=settings.pad_id,
            max_lengths=lengths + decoding.max_extra_length - num_given,
        ),
        rng=row_keys(rng, numbers),
        num_halvings=settings.num_halvings,
    )
