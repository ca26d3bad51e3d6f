"""Our search as a contender: complete, and without each of its parts."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from our_turn import take_our_turn
from peers.decode_work import NO_TOKEN, DecodeWork, Search, as_run
from peers.turn import Run

from flax_transformer.data.tokens.tokenizer import BOS, PAD
from flax_transformer.decoding import (
    SearchLimits,
    beam,
    beam_search,
    gnmt_length_penalty,
    greedy_search,
)
from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig

LITTLE_VOCAB = 64


def make(work: Mapping[str, Any], without: str | None = None) -> Run:
    """Makes our search, complete or without a part, from plain data."""
    decode_work = DecodeWork(**work)
    return as_run(search_without(decode_work, without) if without else our_search(decode_work))


def our_search(
    work: DecodeWork, left_out: contextlib.AbstractContextManager | None = None
) -> Search:
    """Makes our model, post-norm as in the paper, and its search.

    Args:
        work: sentences and sizes.
        left_out: context in which the search is compiled; compiled programs keep their behavior.
    """
    config = EncoderDecoderConfig(
        num_encoder_layers=work.num_layers,
        num_decoder_layers=work.num_layers,
        d_model=work.d_model,
        d_ff=work.d_ff,
        num_heads=work.num_heads,
        dtype=work.dtype,
    )
    model = EncoderDecoder(config, work.vocab_size)
    tokens = jnp.ones((1, 1), jnp.int32)
    variables = jax.jit(model.init)(jax.random.key(0), tokens, tokens)
    start: Any = partial(model.apply, method=model.start)
    decode: Any = partial(model.apply, method=model.decode)

    penalty = partial(gnmt_length_penalty, alpha=0.6)
    beams: Any = partial(beam_search, beam_size=work.beam_size, length_penalty=penalty)
    find = greedy_search if work.beam_size == 1 else beams

    @jax.jit
    def search(variables, source):
        return find(
            partial(decode, variables),
            start(variables, source, work.output_length),
            jnp.full((source.shape[0], 1), BOS, jnp.int32),
            SearchLimits(max_length=work.output_length, eos_id=NO_TOKEN, pad_id=PAD),
        )

    with left_out or contextlib.nullcontext():
        compiled = {
            batch.shape: search.lower(variables, batch).compile() for batch in work.batches()
        }
    return lambda: [
        np.asarray(compiled[batch.shape](variables, batch).tokens[:, 0]) for batch in work.batches()
    ]


def search_without(work: DecodeWork, part: str) -> Search:
    """Makes our search without one of `PARTS`; its outputs are meaningless.

    The parts are the encoder; in the decoder's layers, the queries, weights and outputs of either
    attention, and the feed-forward networks; the ranking, which is replaced by a maximum; and
    nearly the whole vocabulary with its logits and their ranking.
    """
    if part == "vocabulary":
        little = [[min(token, LITTLE_VOCAB - 1) for token in row] for row in work.sentences]
        return our_search(work._replace(sentences=little, vocab_size=LITTLE_VOCAB))
    return our_search(work, PARTS[part]())


def _without(stack: str, name: str | None = None) -> contextlib.AbstractContextManager:
    """Makes the layers of a stack, or a module in each of them, return their inputs."""

    def intercept(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        path = context.module.path
        is_layer = len(path) > 0 and path[0].startswith(f"{stack}_")
        if is_layer and path[1:] == ((name,) if name else ()) and context.method_name == "__call__":
            return args[0]
        return call(*args, **kwargs)

    return nn.intercept_methods(intercept)


def _unranked(
    logits: jax.Array, log_probs: jax.Array, *_: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Continues every hypothesis with a token that is as cheap to find as an argmax."""
    places = jnp.broadcast_to(jnp.arange(log_probs.shape[1]), log_probs.shape)
    return log_probs + logits.max(axis=-1), places, places


# Contexts that leave a part out during compilation; the vocabulary is a size instead.
PARTS: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "encoder": lambda: _without("encoder"),
    "self-attention": lambda: _without("decoder", "self_attention"),
    "cross-attention": lambda: _without("decoder", "cross_attention"),
    "feed-forward": lambda: _without("decoder", "feed_forward"),
    "ranking": lambda: mock.patch.object(beam, "best_continuations", _unranked),
    "vocabulary": contextlib.nullcontext,
}

if __name__ == "__main__":
    take_our_turn(make)
