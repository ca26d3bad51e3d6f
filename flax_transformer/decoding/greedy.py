"""Greedy search."""

from jaxtyping import Array, Int

from flax_transformer.decoding.generation import generate
from flax_transformer.decoding.hypotheses import Hypotheses, Step
from flax_transformer.decoding.processors import LogitsProcessor
from flax_transformer.decoding.search_limits import SearchLimits
from flax_transformer.functional.cache import Cache
from flax_transformer.functional.kernels.ranking import argmax


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
