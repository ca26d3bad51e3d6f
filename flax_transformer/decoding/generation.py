"""Greedy search, and the loop that it shares with sampling: independent hypotheses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits, Step, repeat_history
from flax_transformer.decoding.processors import LogitsProcessor
from flax_transformer.functional.cache import Cache
from flax_transformer.functional.ranking import argmax

Choose = Callable[
    [Float[Array, "batch num_best vocab"], Int[Array, ""]], Int[Array, "batch num_best"]
]
"""Picks each hypothesis' next token from its logits and the number of tokens generated so far."""


class _Progress(NamedTuple):
    """length: tokens generated so far by the hypotheses that are still alive."""

    length: Int[Array, ""]
    tokens: Int[Array, "batch num_best max_length"]
    log_probs: Float[Array, "batch num_best"]
    lengths: Int[Array, "batch num_best"]
    alive: Bool[Array, "batch num_best"]
    cache: Cache


def generate(
    step: Step,
    cache: Cache,
    prompt: Int[Array, "batch prompt_length"],
    choose: Choose,
    limits: SearchLimits,
    *,
    num_best: int,
    processor: LogitsProcessor | None = None,
) -> Hypotheses:
    """Continues each prompt `num_best` times with the tokens that `choose` picks.

    Args:
        step: reads tokens; see `Step`.
        cache: of length 0 with history leaves [batch, ...] that have room for the prompt and
            limits.max_length - 1 tokens.
        prompt: [batch, prompt_length], read in one pass.
        choose: picks the next tokens; see `Choose`.
        limits: how long hypotheses may be, and which ids end and fill them.
        num_best: hypotheses of each example.
        processor: changes the logits from which `choose` picks; log_probs remain the model's.

    Returns:
        The hypotheses in the order drawn; scores are the log-probabilities under the model.

    Raises:
        ValueError: if num_best is below 1, or limits.max_lengths is not of shape [batch].
    """
    if num_best < 1:
        raise ValueError(f"at least 1 hypothesis is needed, got {num_best}")
    batch = prompt.shape[0]
    max_lengths = limits.of_examples(batch)[:, None]

    def extend(state: _Progress, logits: Float[Array, "batch num_best vocab"]) -> _Progress:
        logits = logits.astype(jnp.float32)
        allowed = logits
        if processor is not None:
            allowed = processor.process(logits, processor.given, state.tokens, state.length)
        chosen = choose(allowed, state.length)
        gained = jnp.take_along_axis(jax.nn.log_softmax(logits), chosen[..., None], axis=-1)[..., 0]
        length = state.length + 1
        return state._replace(
            length=length,
            tokens=state.tokens.at[:, :, state.length].set(
                jnp.where(state.alive, chosen, limits.pad_id)
            ),
            log_probs=state.log_probs + jnp.where(state.alive, gained, 0.0),
            lengths=state.lengths + state.alive,
            alive=state.alive & ~limits.is_end(chosen) & (length < max_lengths),
        )

    def read_and_extend(state: _Progress) -> _Progress:
        last = state.tokens[:, :, state.length - 1].reshape(-1, 1)
        logits, cache = step(last, state.cache)
        return extend(state._replace(cache=cache), logits.reshape(batch, num_best, -1))

    logits, cache = step(prompt, cache)
    start = _Progress(
        length=jnp.int32(0),
        tokens=jnp.full((batch, num_best, limits.max_length), limits.pad_id, jnp.int32),
        log_probs=jnp.zeros((batch, num_best), jnp.float32),
        lengths=jnp.zeros((batch, num_best), jnp.int32),
        alive=jnp.ones((batch, num_best), bool),
        cache=repeat_history(cache, num_best),
    )
    start = extend(start, jnp.repeat(logits[:, -1:], num_best, axis=1))
    state = jax.lax.while_loop(lambda state: state.alive.any(), read_and_extend, start)
    return Hypotheses(state.tokens, state.log_probs, state.log_probs, state.lengths)


def greedy_search(
    step: Step,
    cache: Cache,
    prompt: Int[Array, "batch prompt_length"],
    limits: SearchLimits,
    *,
    processor: LogitsProcessor | None = None,
) -> Hypotheses:
    """Takes the most probable next token until EOS or the limit.

    token[i] = argmax p(. | prompt, token[0 .. i-1]), of equal ones the lowest id

    Args:
        step: reads tokens; see `Step`.
        cache: of length 0 with history leaves [batch, ...] that have room for the prompt and
            limits.max_length - 1 tokens.
        prompt: [batch, prompt_length], read in one pass, for example BOS.
        limits: how long hypotheses may be, and which ids end and fill them.
        processor: changes the logits before the largest is taken.

    Returns:
        One hypothesis for each example; nothing is ranked, so its score is its log-probability.

    Raises:
        ValueError: if limits.max_lengths is not of shape [batch].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> step = lambda tokens, cache: (jax.nn.one_hot(tokens + 1, 7), cache)
        >>> cache = Cache(jnp.int32(0), history=None, context=None)
        >>> limits = SearchLimits(max_length=5, eos_id=5, pad_id=0)
        >>> greedy_search(step, cache, jnp.array([[2]]), limits).tokens
        Array([[[3, 4, 5, 0, 0]]], dtype=int32)
    """
    return generate(
        step,
        cache,
        prompt,
        lambda logits, _: argmax(logits),
        limits,
        num_best=1,
        processor=processor,
    )
