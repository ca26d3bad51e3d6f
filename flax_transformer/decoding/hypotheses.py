"""Types and functions that all searches share: steps, limits, results and changes of the cache."""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flax_transformer.functional.cache import Cache, Written

Step = Callable[
    [Int[Array, "rows new_length"], Cache],
    tuple[Float[Array, "rows new_length vocab"], Cache],
]
"""Reads the next tokens of every row; returns the logits after each of them and the new cache."""


class Hypotheses(NamedTuple):
    """The `num_best` outputs found for each example, the best first.

    If fewer hypotheses exist than requested, empty slots have score and log-probability -inf,
    length 0 and only PAD.

    Attributes:
        tokens: [batch, num_best, max_length], int32, without the prompt, with EOS, then PAD.
        scores: [batch, num_best], float32, for ranking; higher is better.
        log_probs: [batch, num_best], float32, nats, summed over the tokens, EOS included.
        lengths: [batch, num_best], int32, number of tokens, EOS included.
    """

    tokens: Int[Array, "batch num_best max_length"]
    scores: Float[Array, "batch num_best"]
    log_probs: Float[Array, "batch num_best"]
    lengths: Int[Array, "batch num_best"]


def take(hypotheses: Hypotheses, index: Int[Array, "batch chosen"]) -> Hypotheses:
    """Selects the hypotheses at the given places of each example.

    Args:
        hypotheses: [batch, num_best, ...].
        index: [batch, chosen], places 0 .. num_best - 1.

    Returns:
        The hypotheses [batch, chosen, ...].
    """
    rows = jnp.arange(index.shape[0])[:, None]
    return jax.tree.map(lambda leaf: leaf[rows, index], hypotheses)


def concatenate(first: Hypotheses, second: Hypotheses) -> Hypotheses:
    """Concatenates the hypotheses of each example.

    Args:
        first: [batch, num_first, ...].
        second: [batch, num_second, ...].

    Returns:
        The hypotheses [batch, num_first + num_second, ...].
    """
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), first, second)


def where_example(condition: Bool[Array, " batch"], true: Any, false: Any) -> Any:
    """Selects each example from one of two pytrees.

    Args:
        condition: [batch].
        true: pytree of arrays [batch, ...].
        false: the same structure and shapes.

    Returns:
        The same structure: examples of `true` where the condition holds, else those of `false`.
    """

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, true, false)


@dataclass(frozen=True, kw_only=True)
class SearchLimits:
    """The limits of every search.

    Attributes:
        max_length: most tokens generated, EOS included: the width of the result.
        eos_id: token that ends a hypothesis, or several such tokens.
        pad_id: token that fills the rest of a hypothesis, and the prompt on the left.
        max_lengths: [batch], the limit of each example, for example its source length + 50, clipped
            to 1 .. max_length; None: max_length for all.
        prompt_lengths: [batch], number of tokens before the generated ones, for a minimum length,
            if there are more than in the prompt; None: those of the prompt without padding.
        never_written: tokens that `search` never generates.

    Raises:
        ValueError: if max_length is below 1.

    Example:
        >>> lengths = jnp.array([0, 4, 9])
        >>> limits = SearchLimits(max_length=5, eos_id=2, pad_id=0, max_lengths=lengths)
        >>> limits.of_examples(3).tolist()
        [1, 4, 5]
    """

    max_length: int
    eos_id: int | tuple[int, ...]
    pad_id: int
    max_lengths: Int[Array, " batch"] | None = None
    prompt_lengths: Int[Array, " batch"] | None = None
    never_written: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Rejects outputs without room for a token."""
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {self.max_length}")

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end a hypothesis."""
        return self.eos_id if isinstance(self.eos_id, tuple) else (self.eos_id,)

    def is_end(self, tokens: Int[Array, "*rows"]) -> Bool[Array, "*rows"]:
        """Returns whether each token ends a hypothesis.

        Args:
            tokens: [*rows], ids.
        """
        return is_one_of(tokens, self.end_ids)

    def of_examples(self, batch: int) -> Int[Array, " batch"]:
        """Returns the limit of each example, in tokens.

        Args:
            batch: number of examples.

        Returns:
            [batch], int32.

        Raises:
            ValueError: if max_lengths is not of shape [batch].
        """
        if self.max_lengths is None:
            return jnp.full(batch, self.max_length, jnp.int32)
        if self.max_lengths.shape != (batch,):
            raise ValueError(
                f"max_lengths must have shape ({batch},), got {self.max_lengths.shape}"
            )
        return jnp.clip(self.max_lengths, 1, self.max_length).astype(jnp.int32)


def is_one_of(tokens: Int[Array, "*rows"], ids: tuple[int, ...]) -> Bool[Array, "*rows"]:
    """Returns whether each token is one of some ids.

    Example:
        >>> is_one_of(jnp.array([2, 3, 5]), (2, 5)).tolist()
        [True, False, True]
    """
    return functools.reduce(operator.or_, [tokens == number for number in ids])


def repeat_history(cache: Cache, num_hypotheses: int) -> Cache:
    """Repeats every row `num_hypotheses` times; the copies are adjacent.

    Args:
        cache: of one row an example.
        num_hypotheses: hypotheses of one example.

    Returns:
        The cache with history leaves [batch * num_hypotheses, ...], and all places written once
        for each member.

    Example:
        >>> cache = Cache(jnp.int32(0), history=jnp.array([3, 5]), context=None)
        >>> repeat_history(cache, 2).history.tolist()
        [3, 3, 5, 5]
    """
    repeat = lambda leaf: jnp.repeat(leaf, num_hypotheses, axis=0)  # noqa: E731
    return cache._replace(
        history=jax.tree.map(repeat, cache.history),
        written=tuple(
            Written(
                jnp.repeat(written.key, num_hypotheses, axis=3),
                jnp.repeat(written.value, num_hypotheses, axis=2),
            )
            for written in cache.written
        ),
    )


def reorder_history(cache: Cache, parents: Int[Array, "batch beam"]) -> Cache:
    """Reorders the cache: every hypothesis gets the history of the one it continues.

    Args:
        cache: of `beam` rows an example.
        parents: [batch, beam], for each new hypothesis the place of its old one, 0 .. beam - 1.

    Returns:
        The cache with its history reordered along axis 0; keys and values stay, and the lineage
        records which member wrote them.

    Example:
        >>> cache = Cache(jnp.int32(1), history=jnp.array([3, 5, 7, 11]), context=None)
        >>> reorder_history(cache, jnp.array([[1, 1], [0, 1]])).history.tolist()
        [5, 5, 7, 11]
    """
    batch, beam = parents.shape
    rows = (beam * jnp.arange(batch)[:, None] + parents).ravel()
    # Parents are in range by construction; "clip" avoids the masking of jnp.take's default mode.
    gather = lambda leaf: jnp.take(leaf, rows, axis=0, mode="clip")  # noqa: E731
    cache = cache._replace(history=jax.tree.map(gather, cache.history))
    if not cache.written:
        return cache
    capacity = cache.written[0].value.shape[2] // beam
    own = jnp.broadcast_to(jnp.tile(jnp.arange(beam), batch)[:, None], (batch * beam, capacity))
    lineage = own if cache.lineage is None else cache.lineage
    # Every row will write the remaining places itself.
    is_written = jnp.arange(capacity) < cache.length
    return cache._replace(lineage=jnp.where(is_written, gather(lineage), own))


def select_examples(cache: Cache, examples: Int[Array, " chosen"], num_hypotheses: int) -> Cache:
    """Keeps some examples with all of their hypotheses.

    Args:
        cache: of `num_hypotheses` rows an example.
        examples: [chosen], the examples to keep, 0 .. batch - 1.
        num_hypotheses: hypotheses of one example.

    Returns:
        The cache of only these examples, in the order given.

    Example:
        >>> cache = Cache(jnp.int32(1), jnp.array([3, 5, 7, 11]), context=jnp.array([13, 17]))
        >>> selected = select_examples(cache, jnp.array([1]), 2)
        >>> selected.history.tolist(), selected.context.tolist()
        ([7, 11], [17])
    """
    rows = (num_hypotheses * examples[:, None] + jnp.arange(num_hypotheses)).ravel()
    moved = (cache.history, cache.lineage)
    shared = (cache.context, cache.written)
    history, lineage = jax.tree.map(lambda leaf: leaf[rows], moved)
    context, written = jax.tree.map(lambda leaf: leaf[examples], shared)
    return Cache(cache.length, history, context, written, lineage)
