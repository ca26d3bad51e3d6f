"""Logits processors: rules that change the scores of next tokens before a search chooses.

They are those of Hugging Face's `transformers`: `RepetitionPenaltyLogitsProcessor`,
`NoRepeatNGramLogitsProcessor` and `MinLengthLogitsProcessor`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class History(NamedTuple):
    """The tokens that precede the next one: those of the prompt, then the generated ones.

    Attributes:
        tokens: [*rows, room].
        is_token: [*rows, room], False for padding before the prompt and for places after `length`.
        length: places filled so far, padding included; the same for every row.
    """

    tokens: Int[Array, "*rows room"]
    is_token: Bool[Array, "*rows room"]
    length: Int[Array, ""]


class LogitsProcessor(NamedTuple):
    """Rules, and the data about each example that they need.

    Attributes:
        process: (scores [batch, num, vocab], given, generated tokens [batch, num, max_length],
            their number) -> scores of the same shape.
        given: pytree of arrays [batch, ...]; a search that continues with some examples keeps
            theirs.
    """

    process: Callable[[Array, Any, Array, Array], Array]
    given: Any


def penalize_repetition(
    scores: Float[Array, "*rows vocab"], history: History, penalty: float
) -> Float[Array, "*rows vocab"]:
    """Lowers the score of every token in the history; tokens that occur again count once.

    score / penalty if score >= 0, score * penalty otherwise

    Args:
        scores: [*rows, vocab], logits or log-probabilities.
        history: of the same rows.
        penalty: above 1 discourages repetition, below 1 encourages it.

    Returns:
        [*rows, vocab].

    Example:
        >>> history = History(jnp.array([0, 2, 2]), jnp.array([True] * 3), jnp.int32(3))
        >>> penalize_repetition(jnp.array([3.0, 5.0, -1.0]), history, 2.0).tolist()
        [1.5, 5.0, -2.0]

    Reference: Keskar et al. 2019, CTRL: A Conditional Transformer Language Model for Controllable
    Generation, section 4.1.
    """
    penalized = jnp.where(scores < 0, scores * penalty, scores / penalty)
    return jnp.where(_contained(history.tokens, history.is_token, scores.shape), penalized, scores)


def forbid_repeated_ngrams(
    scores: Float[Array, "*rows vocab"], history: History, ngram_size: int
) -> Float[Array, "*rows vocab"]:
    """Sets the scores of tokens that would repeat an n-gram of the history to -inf.

    Args:
        scores: [*rows, vocab].
        history: of the same rows.
        ngram_size: n; 1 forbids every token of the history.

    Returns:
        [*rows, vocab].

    Raises:
        ValueError: if ngram_size is below 1.

    Example:
        >>> history = History(jnp.array([2, 1, 2]), jnp.array([True] * 3), jnp.int32(3))
        >>> forbid_repeated_ngrams(jnp.array([3.0, 5.0, 7.0]), history, 2).tolist()
        [3.0, -inf, 7.0]

    Reference: Paulus et al. 2017, A Deep Reinforced Model for Abstractive Summarization, section
    2.5.
    """
    if ngram_size < 1:
        raise ValueError(f"ngram_size must be at least 1, got {ngram_size}")
    tokens, is_token, length = history
    num_before = ngram_size - 1
    num_ngrams = tokens.shape[-1] - num_before
    if num_ngrams < 1:
        return scores
    first_of_last = length - num_before
    ends_before_now = jnp.arange(num_ngrams) + num_before < length
    matches = is_token[..., :num_ngrams] & ends_before_now & (first_of_last >= 0)

    def compare(place: Array, matches: Array) -> Array:
        token = jax.lax.dynamic_index_in_dim(tokens, first_of_last + place, axis=-1)
        others = jax.lax.dynamic_slice_in_dim(tokens, place, num_ngrams, axis=-1)
        return matches & (others == token)

    matches = jax.lax.fori_loop(0, num_before, compare, matches)
    forbidden = _contained(tokens[..., num_before:], matches, scores.shape)
    return jnp.where(forbidden, -jnp.inf, scores)


def forbid_early_end(
    scores: Float[Array, "*rows vocab"],
    is_early: Bool[Array, "*rows"],
    eos_id: int | tuple[int, ...],
) -> Float[Array, "*rows vocab"]:
    """Sets the score of EOS to -inf where it is too early to end.

    Args:
        scores: [*rows, vocab].
        is_early: [*rows].
        eos_id: token that ends a hypothesis, or several such tokens.

    Returns:
        [*rows, vocab].

    Example:
        >>> forbid_early_end(jnp.ones((2, 3)), jnp.array([True, False]), 2).tolist()
        [[1.0, 1.0, -inf], [1.0, 1.0, 1.0]]
    """
    is_eos = jnp.isin(jnp.arange(scores.shape[-1]), jnp.array(eos_id))
    return jnp.where(is_early[..., None] & is_eos, -jnp.inf, scores)


def make_processor(
    prompt: Int[Array, "batch prompt_length"],
    *,
    repetition_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    min_lengths: Int[Array, " batch"] | None = None,
    eos_id: int | tuple[int, ...],
    pad_id: int,
) -> LogitsProcessor | None:
    """Combines the rules, in the order of Hugging Face.

    If they forbid every token, EOS is allowed, so that every hypothesis can continue or end.

    Args:
        prompt: [batch, prompt_length]; its tokens belong to the history, its padding does not.
        repetition_penalty: see `penalize_repetition`; 1 is none.
        no_repeat_ngram_size: see `forbid_repeated_ngrams`; 0 allows every n-gram.
        min_lengths: [batch], tokens generated before EOS is allowed; None: none.
        eos_id: token that ends a hypothesis, or several such tokens.
        pad_id: token that fills the prompt on the left.

    Returns:
        The rules; None if there are none.
    """
    if repetition_penalty == 1 and no_repeat_ngram_size == 0 and min_lengths is None:
        return None
    rules: list[Callable[[Array, History], Array]] = []
    if repetition_penalty != 1:
        rules.append(partial(penalize_repetition, penalty=repetition_penalty))
    if no_repeat_ngram_size:
        rules.append(partial(forbid_repeated_ngrams, ngram_size=no_repeat_ngram_size))

    def process(scores: Array, given: Any, tokens: Array, length: Array) -> Array:
        prompt, min_lengths = given
        history = _history(prompt, tokens, length, pad_id)
        processed = scores
        for rule in rules:
            processed = rule(processed, history)
        is_early = jnp.broadcast_to((length < min_lengths)[:, None], scores.shape[:-1])
        processed = forbid_early_end(processed, is_early, eos_id)
        is_stuck = processed.max(axis=-1, keepdims=True) == -jnp.inf
        is_eos = jnp.isin(jnp.arange(scores.shape[-1]), jnp.array(eos_id))
        return jnp.where(is_stuck & is_eos, scores, processed)

    if min_lengths is None:
        min_lengths = jnp.zeros(prompt.shape[0], jnp.int32)
    return LogitsProcessor(process, (prompt, min_lengths))


def _history(prompt: Array, tokens: Array, length: Array, pad_id: int) -> History:
    """Joins the prompts [batch, prompt_length] and the generated tokens of each hypothesis."""
    prompts = jnp.broadcast_to(prompt[:, None], (*tokens.shape[:2], prompt.shape[1]))
    is_written = jnp.broadcast_to(jnp.arange(tokens.shape[-1]) < length, tokens.shape)
    return History(
        jnp.concatenate([prompts, tokens], axis=-1),
        jnp.concatenate([prompts != pad_id, is_written], axis=-1),
        prompt.shape[1] + length,
    )


def _contained(tokens: Array, counts: Array, shape: tuple[int, ...]) -> Array:
    """Whether each token of the vocabulary is among those tokens [*rows, room] that count."""
    *rows, vocab = shape
    flat = jnp.where(counts, tokens, vocab).reshape(-1, tokens.shape[-1])
    number = jnp.arange(flat.shape[0])[:, None]
    found = jnp.zeros((flat.shape[0], vocab), bool).at[number, flat].set(True, mode="drop")
    return found.reshape(*rows, vocab)
