"""Continuations of a batch of pieces, searched for in one compiled program a shape."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits
from flax_transformer.decoding.sampling import row_keys
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.functional.cache import Cache
from flax_transformer.tasks.language_modeling.continuation import PieceBatch, Rows
from flax_transformer.tasks.task import Model, Variables


class _Settings(NamedTuple):
    """What a program is compiled for, besides shapes."""

    decoding: DecodingConfig
    max_length: int
    eos_id: int
    pad_id: int
    bos_id: int


def search_pieces(
    model: Model,
    variables: Variables,
    tokenizer: Tokenizer,
    batch: PieceBatch,
    decoding: DecodingConfig,
    seed: int,
) -> Hypotheses:
    """Searches for the continuations of a batch of pieces.

    Args:
        model: the decoder.
        variables: of the model.
        tokenizer: whose end mark ends a text.
        batch: of pieces.
        decoding: how to search.
        seed: of sampling.
    """
    # Stop strings do not change the program: without them it is compiled once.
    of_tokens = dataclasses.replace(decoding, stop=())
    ids = tokenizer.eos_id, tokenizer.pad_id, tokenizer.bos_id
    settings = _Settings(of_tokens, batch.max_length, *ids)
    return _search(model, variables, batch.rows, jax.random.key(seed), settings)


@functools.partial(jax.jit, static_argnames=("model", "settings"))
def _search(
    model: Model, variables: Variables, rows: Rows, rng: PRNGKeyArray, settings: _Settings
) -> Hypotheses:
    num_rows, prompt_length = rows.prompts.shape
    capacity = prompt_length + settings.max_length - 1
    not_written = jnp.array([settings.pad_id, settings.bos_id])

    def step(tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        is_token = tokens != settings.pad_id
        logits, cache = model.apply(
            variables, tokens, cache, is_token=is_token, method=model.decode
        )
        # They are no text, and written padding would be read as if nothing was there.
        return logits.at[..., not_written].set(-jnp.inf), cache

    return search(
        settings.decoding,
        step,
        model.apply(variables, num_rows, capacity, method=model.start),
        jnp.asarray(rows.prompts),
        SearchLimits(
            max_length=settings.max_length,
            eos_id=settings.eos_id,
            pad_id=settings.pad_id,
            max_lengths=jnp.asarray(rows.limits),
            prompt_lengths=jnp.asarray(rows.lengths),
        ),
        rng=row_keys(rng, rows.numbers),
    )
