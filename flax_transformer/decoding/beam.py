"""Beam search that stops as soon as no further step can change its result."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.decoding.continuations import best_continuations
from flax_transformer.decoding.hypotheses import (
    Hypotheses,
    SearchLimits,
    Step,
    concatenate,
    reorder_history,
    repeat_history,
    select_examples,
    take,
    where_example,
)
from flax_transformer.decoding.length_penalty import LengthPenalty
from flax_transformer.decoding.processors import LogitsProcessor
from flax_transformer.functional.cache import Cache


class _Beams(NamedTuple):
    """State of the search; an empty place in the beam has log-probability -inf.

    Attributes:
        length: tokens of every live hypothesis.
        limits: [batch], most tokens of each example's hypotheses.
        tokens: [batch, beam, max_length], the live hypotheses.
        log_probs: [batch, beam], of the live hypotheses.
        finished: the best hypotheses that ended with EOS, the best first.
        cache: its history rows are the live hypotheses.
        given: a logits processor's data about each example; None without a processor.
    """

    length: Int[Array, ""]
    limits: Int[Array, " batch"]
    tokens: Int[Array, "batch beam max_length"]
    log_probs: Float[Array, "batch beam"]
    finished: Hypotheses
    cache: Cache
    given: Any


def beam_search(
    step: Step,
    cache: Cache,
    prompt: Int[Array, "batch prompt_length"],
    limits: SearchLimits,
    *,
    beam_size: int,
    length_penalty: LengthPenalty,
    refill: bool = False,
    num_best: int = 1,
    num_halvings: int = 0,
    processor: LogitsProcessor | None = None,
) -> Hypotheses:
    """Follows the `beam_size` most probable hypotheses; returns the best that ended with EOS.

    score = log p(tokens | prompt) / length_penalty(length)

    Each step ranks all continuations of all live hypotheses by log-probability and keeps the best
    `beam_size` (of equal ones, the earlier hypothesis and the lower token id). Those that end with
    EOS are finished and are ranked by score; the others stay live. With `refill`, the next best
    that do not end take the places of those that do, so `beam_size` stay live. A live hypothesis
    that reaches the limit is returned only if fewer than num_best finished. A beam of 1 without
    refill is greedy search.

    An example stops early when the result cannot change any more. Proof: let L <= 0 be the
    log-probability of the best live hypothesis and S the score of the num_best-th finished one.
    Any continuation of a live hypothesis has log-probability at most L, because every token adds at
    most 0, and length at most `limit`. The penalty never decreases with the length, so the score is
    at most L / length_penalty(limit). If this is at most S, the continuation cannot enter the best
    num_best, because earlier hypotheses win ties.

    Args:
        step: reads tokens; see `Step`. With halvings, it also gets only some of the examples, so it
            must recognize an example only by the cache.
        cache: of length 0 with history leaves [batch, ...] that have room for the prompt and
            limits.max_length - 1 tokens; only the history is repeated and reordered.
        prompt: [batch, prompt_length], read in one pass, for example BOS.
        limits: how long hypotheses may be, and which ids end and fill them.
        beam_size: hypotheses kept at each step.
        length_penalty: number of tokens -> normalizer, positive and never decreasing.
        refill: whether other continuations take the places of those that end.
        num_best: hypotheses returned for each example, at most beam_size.
        num_halvings: how often the search continues with half of the examples after the others have
            settled. The result is the same; each halving compiles `step` once more.
        processor: changes the log-probabilities before continuations are ranked, and keeps them at
            most 0. log_probs and scores then sum the changed ones, which are not normalized again.

    Returns:
        The best hypotheses of each example.

    Raises:
        ValueError: if num_best is not in 1 .. beam_size, num_halvings is negative or
            limits.max_lengths is not of shape [batch].

    Reference: Wu et al. 2016, Google's Neural Machine Translation System, section 7.
    """
    if not 1 <= num_best <= beam_size:
        raise ValueError(f"num_best must be in 1 .. {beam_size} (beam_size), got {num_best}")
    if num_halvings < 0:
        raise ValueError(f"num_halvings must be at least 0, got {num_halvings}")

    def extend(beams: _Beams, logits: Float[Array, "batch beam vocab"]) -> _Beams:
        return _extend(beams, logits, length_penalty, limits, refill, processor)

    def read_and_extend(beams: _Beams) -> _Beams:
        last = beams.tokens[:, :, beams.length - 1].reshape(-1, 1)
        logits, cache = step(last, beams.cache)
        return extend(beams._replace(cache=cache), logits.reshape(*beams.log_probs.shape, -1))

    max_lengths = limits.of_examples(prompt.shape[0])
    logits, cache = step(prompt, cache)
    cache = repeat_history(cache, beam_size)
    given = None if processor is None else processor.given
    beams = _start(cache, limits, max_lengths, beam_size, num_best, given)
    beams = extend(beams, jnp.repeat(logits[:, -1:], beam_size, axis=1))
    beams = _settle(beams, read_and_extend, length_penalty, num_halvings)
    return _result(beams, length_penalty, limits.pad_id)


def _start(
    cache: Cache,
    limits: SearchLimits,
    max_lengths: Int[Array, " batch"],
    beam_size: int,
    num_best: int,
    given: Any,
) -> _Beams:
    """Starts with one empty hypothesis for each example: several would all stay the same."""
    batch = max_lengths.shape[0]
    first = jnp.arange(beam_size) == 0
    absent = jnp.full((batch, num_best), -jnp.inf, jnp.float32)
    return _Beams(
        length=jnp.int32(0),
        limits=max_lengths,
        tokens=jnp.full((batch, beam_size, limits.max_length), limits.pad_id, jnp.int32),
        log_probs=jnp.tile(jnp.where(first, 0.0, -jnp.inf).astype(jnp.float32), (batch, 1)),
        finished=Hypotheses(
            tokens=jnp.full((batch, num_best, limits.max_length), limits.pad_id, jnp.int32),
            scores=absent,
            log_probs=absent,
            lengths=jnp.zeros((batch, num_best), jnp.int32),
        ),
        cache=cache,
        given=given,
    )


def _settle(
    beams: _Beams,
    advance: Callable[[_Beams], _Beams],
    length_penalty: LengthPenalty,
    num_halvings: int,
) -> _Beams:
    """Advances until all examples are settled; the returned cache may be from an earlier step."""
    smaller = beams.limits.shape[0] // 2 if num_halvings else 0

    def too_many_left(beams: _Beams) -> Bool[Array, ""]:
        return (~_settled(beams, length_penalty)).sum() > smaller

    beams = jax.lax.while_loop(too_many_left, advance, beams)
    if not smaller:
        return beams
    # The unsettled examples, and as many others as fill the smaller batch.
    chosen = jnp.argsort(_settled(beams, length_penalty), stable=True)[:smaller]
    rest = _settle(_select(beams, chosen), advance, length_penalty, num_halvings - 1)
    found, found_last = ((b.tokens, b.log_probs, b.finished) for b in (beams, rest))
    put_back = lambda whole, part: whole.at[chosen].set(part)  # noqa: E731
    tokens, log_probs, finished = jax.tree.map(put_back, found, found_last)
    return beams._replace(tokens=tokens, log_probs=log_probs, finished=finished)


def _select(beams: _Beams, examples: Int[Array, " chosen"]) -> _Beams:
    """Keeps the beams of some examples, in the order given."""
    of_examples = (beams.limits, beams.tokens, beams.log_probs, beams.finished, beams.given)
    limits, tokens, log_probs, finished, given = jax.tree.map(
        lambda leaf: leaf[examples], of_examples
    )
    cache = select_examples(beams.cache, examples, beams.log_probs.shape[1])
    return _Beams(beams.length, limits, tokens, log_probs, finished, cache, given)


def _settled(beams: _Beams, length_penalty: LengthPenalty) -> Bool[Array, " batch"]:
    """Whether no further step can change an example's result; the proof is at `beam_search`."""
    bound = beams.log_probs.max(axis=1) / length_penalty(beams.limits)
    return (beams.length >= beams.limits) | (bound <= beams.finished.scores[:, -1])


def _extend(
    beams: _Beams,
    logits: Float[Array, "batch beam vocab"],
    length_penalty: LengthPenalty,
    limits: SearchLimits,
    refill: bool,
    processor: LogitsProcessor | None,
) -> _Beams:
    """Adds one token to the live hypotheses, unless the example is settled."""
    beam_size, num_best = beams.log_probs.shape[1], beams.finished.scores.shape[1]
    settled = _settled(beams, length_penalty)
    # Each end mark ends at most one continuation of a hypothesis, so beam_size of these do not.
    number = (1 + len(limits.end_ids)) * beam_size if refill else beam_size
    log_probs, parents, chosen, tokens = _continue(beams, logits, number, processor)
    length = beams.length + 1
    ended = limits.is_end(chosen)
    finishes = ended & (jnp.arange(ended.shape[1]) < beam_size) if refill else ended
    ended_log_probs = jnp.where(finishes, log_probs, -jnp.inf)
    finished = concatenate(
        beams.finished,
        Hypotheses(
            tokens=tokens,
            scores=ended_log_probs / length_penalty(length),
            log_probs=ended_log_probs,
            lengths=jnp.full_like(chosen, length),
        ),
    )
    _, best = jax.lax.top_k(finished.scores, num_best)
    log_probs = jnp.where(ended, -jnp.inf, log_probs)
    if refill:
        log_probs, live = jax.lax.top_k(log_probs, beam_size)
        parents = jnp.take_along_axis(parents, live, axis=1)
        tokens = jnp.take_along_axis(tokens, live[..., None], axis=1)
    new = (tokens, log_probs, take(finished, best))
    old = (beams.tokens, beams.log_probs, beams.finished)
    tokens, log_probs, finished = where_example(settled, old, new)
    cache = reorder_history(beams.cache, parents)
    return _Beams(length, beams.limits, tokens, log_probs, finished, cache, beams.given)


def _continue(
    beams: _Beams,
    logits: Float[Array, "batch beam vocab"],
    number: int,
    processor: LogitsProcessor | None,
) -> tuple[Array, Array, Array, Int[Array, "batch number max_length"]]:
    """Finds the best continuations: log-probability, parent, last token and all tokens of each."""
    process = processor and (
        lambda scores: processor.process(scores, beams.given, beams.tokens, beams.length)
    )
    log_probs, parents, chosen = best_continuations(logits, beams.log_probs, number, process)
    tokens = jnp.take_along_axis(beams.tokens, parents[..., None], axis=1)
    return log_probs, parents, chosen, tokens.at[:, :, beams.length].set(chosen)


def _result(beams: _Beams, length_penalty: LengthPenalty, pad_id: int) -> Hypotheses:
    """Returns the finished hypotheses, then live ones if fewer than num_best have finished."""
    num_best = beams.finished.scores.shape[1]
    live_log_probs, best_live = jax.lax.top_k(beams.log_probs, num_best)
    exists = live_log_probs > -jnp.inf
    tokens = jnp.take_along_axis(beams.tokens, best_live[..., None], axis=1)
    live = Hypotheses(
        tokens=jnp.where(exists[..., None], tokens, pad_id),
        scores=live_log_probs / length_penalty(beams.limits)[:, None],
        log_probs=live_log_probs,
        lengths=jnp.where(exists, beams.limits[:, None], 0),
    )
    rank = jnp.arange(num_best)
    num_finished = (beams.finished.scores > -jnp.inf).sum(axis=1, keepdims=True)
    chosen = jnp.where(rank < num_finished, rank, num_best + rank - num_finished)
    return take(concatenate(beams.finished, live), chosen)
