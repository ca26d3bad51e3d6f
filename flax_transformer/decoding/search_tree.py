"""Records every continuation that a beam search considers, for one example."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from flax_transformer.decoding.continuations import best_continuations
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
        is_kept: whether a node finished or stayed live.
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
    refill: bool = False,
) -> SearchTree:
    """Records a beam search: at each step, twice as many continuations as hypotheses are kept.

    It runs one step after the other in Python: use it to inspect a search, not to translate.

    Args:
        step: reads tokens; see `Step`.
        cache: as for `beam_search`, of one example.
        prompt: read in one pass, for example BOS.
        beam_size: hypotheses kept at each step.
        max_length: most tokens generated, EOS included.
        length_penalty: number of tokens -> normalizer, positive and never decreasing.
        eos_id: token that ends a hypothesis.
        refill: whether other continuations take the places of those that end.

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
    for length in range(1, max_length + 1):
        weighed = best_continuations(logits, log_probs, 2 * beam_size)
        totals, parents, tokens = (np.asarray(array[0]) for array in weighed)
        exists, is_first = totals > -np.inf, np.arange(len(totals)) < beam_size
        is_finished = exists & is_first & (tokens == eos_id)
        is_live = exists & (is_first | refill) & (tokens != eos_id)
        is_live &= np.cumsum(is_live) <= beam_size
        normalized = np.asarray(weighed[0][0] / length_penalty(jnp.array(length)))
        scores = np.where(is_finished, normalized, np.nan)
        numbers = sum(len(part[0]) for part in steps) + np.cumsum(exists) - 1
        columns = (tokens, nodes[parents], totals, scores, is_finished | is_live)
        steps.append([column[exists] for column in columns])
        if np.nanmax(scores, initial=-np.inf) > best_score:
            best, best_score = int(numbers[np.nanargmax(scores)]), np.nanmax(scores)
        places = np.argsort(~is_live, kind="stable")[:beam_size]  # the live ones, then empty ones
        nodes = np.where(is_live, numbers, -1)[places]
        log_probs = jnp.where(is_live, weighed[0], -jnp.inf)[:, places]
        bound = log_probs.max() / length_penalty(jnp.array(max_length))
        if length == max_length or bound <= best_score:
            break
        cache = reorder_history(cache, weighed[1][:, places])
        logits, cache = step(weighed[2][0, places, None], cache)
        logits = logits.reshape(1, beam_size, -1)
    if best < 0:
        best = int(nodes[0])
    columns = (np.concatenate(parts).tolist() for parts in zip(*steps, strict=True))
    tokens, parents, totals, scores, kept = columns
    return SearchTree(tokens, parents, totals, scores, kept, best)
