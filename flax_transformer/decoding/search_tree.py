"""Records every continuation that a beam search considers, for one example."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flax_transformer.decoding.beam import best_continuations
from flax_transformer.decoding.hypotheses import Step, reorder_history, repeat_history
from flax_transformer.decoding.length_penalty import LengthPenalty
from flax_transformer.functional.cache import Cache


class SearchTree(NamedTuple):
    """Every continuation that a search considers is a node; nodes are in the order of the search.

    Attributes:
        tokens: id of each node's last token.
        parents: the node that each continues, -1 for the prompt.
        log_probs: of the whole hypothesis that ends at each node, in nats.
        scores: ranking scores of finished hypotheses; NaN for unfinished ones.
        is_kept: whether a node was among the best `beam_size` of its step.
        best: the node at which the best hypothesis ends.
    """

    tokens: list[int]
    parents: list[int]
    log_probs: list[float]
    scores: list[float]
    is_kept: list[bool]
    best: int


def beam_search_tree(
    step: Step,
    cache: Cache,
    prompt: Int[Array, "1 prompt_length"],
    *,
    beam_size: int,
    max_length: int,
    length_penalty: LengthPenalty,
    eos_id: int,
) -> SearchTree:
    """Records a beam search: at each step the kept continuations and as many rejected ones.

    It runs one step after the other in Python: use it to inspect a search, not to translate.

    Args:
        step: reads tokens; see `Step`.
        cache: as for `beam_search`, of one example.
        prompt: read in one pass, for example BOS.
        beam_size: hypotheses kept at each step.
        max_length: most tokens generated, EOS included.
        length_penalty: number of tokens -> normalizer, positive and never decreasing.
        eos_id: token that ends a hypothesis.

    Returns:
        The tree; its best hypothesis is the first one that `beam_search` returns.

    Raises:
        ValueError: if the prompt is not of one example, or a size is below 1.

    Example:
        >>> logits = jnp.log(jnp.array([0.0, 0.6, 0.4]))  # of three tokens, whatever was read
        >>> tree = beam_search_tree(
        ...     lambda tokens, cache: (jnp.tile(logits, (*tokens.shape, 1)), cache),
        ...     Cache(jnp.int32(0), history=(), context=()), jnp.array([[0]]),
        ...     beam_size=1, max_length=2, length_penalty=jnp.ones_like, eos_id=2,
        ... )
        >>> tree.tokens, tree.parents, tree.is_kept, tree.best
        ([1, 2, 1, 2], [-1, -1, 0, 0], [True, False, True, False], 2)

    Reference:
        Wu et al. 2016, Google's Neural Machine Translation System, section 7.
    """
    if prompt.shape[0] != 1 or min(beam_size, max_length) < 1:
        raise ValueError(
            f"prompt {prompt.shape} must be of one example, beam_size {beam_size} and max_length "
            f"{max_length} at least 1"
        )
    logits, cache = step(prompt, cache)
    cache = repeat_history(cache, beam_size)
    logits = jnp.repeat(logits[:, -1:], beam_size, axis=1)
    # One of the equal first hypotheses is enough; empty slots have log-probability -inf.
    log_probs = jnp.where(jnp.arange(beam_size) == 0, 0.0, -jnp.inf)[None]
    nodes, steps, best, best_score = np.full(beam_size, -1), [], -1, -np.inf
    is_kept = np.arange(2 * beam_size) < beam_size
    for length in range(1, max_length + 1):
        weighed = _weigh(logits, log_probs)
        totals, parents, tokens = (np.asarray(array[0]) for array in weighed)
        exists, is_finished = totals > -np.inf, is_kept & (tokens == eos_id)
        normalized = np.asarray(weighed[0][0] / length_penalty(jnp.array(length)))
        scores = np.where(exists & is_finished, normalized, np.nan)
        numbers = sum(len(part[0]) for part in steps) + np.cumsum(exists) - 1
        # An empty slot may name an empty parent: the index is clamped.
        before = nodes[np.minimum(parents, beam_size - 1)]
        steps.append([a[exists] for a in (tokens, before, totals, scores, is_kept)])
        if np.nanmax(scores, initial=-np.inf) > best_score:
            best, best_score = int(numbers[np.nanargmax(scores)]), np.nanmax(scores)
        nodes = np.where(exists, numbers, -1)[:beam_size]
        log_probs = jnp.where(is_finished, -jnp.inf, weighed[0])[:, :beam_size]
        bound = log_probs.max() / length_penalty(jnp.array(max_length))
        if length == max_length or bound <= best_score:
            break
        cache = reorder_history(cache, jnp.minimum(weighed[1][:, :beam_size], beam_size - 1))
        logits, cache = step(weighed[2][0, :beam_size, None], cache)
        logits = logits.reshape(1, beam_size, -1)
    if best < 0:
        best = int(nodes[log_probs[0].argmax()])
    columns = (np.concatenate(parts).tolist() for parts in zip(*steps, strict=True))
    tokens, parents, totals, scores, kept = columns
    return SearchTree(tokens, parents, totals, scores, kept, best)


def _weigh(
    logits: Float[Array, "1 beam vocab"], log_probs: Float[Array, "1 beam"]
) -> tuple[Float[Array, "1 twice"], Int[Array, "1 twice"], Int[Array, "1 twice"]]:
    """Finds twice as many continuations as the beam keeps, by adding as many empty slots to it."""
    beam_size = logits.shape[1]
    return best_continuations(
        jnp.pad(logits, ((0, 0), (0, beam_size), (0, 0))),
        jnp.pad(log_probs, ((0, 0), (0, beam_size)), constant_values=-jnp.inf),
    )
