"""What a beam search weighed on its way, recorded for one example."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flax_transformer.decoding.beam import best_continuations
from flax_transformer.decoding.history import reorder_history, repeat_history
from flax_transformer.decoding.hypotheses import Step
from flax_transformer.decoding.length_penalty import LengthPenalty
from flax_transformer.functional.cache import Cache


class SearchTree(NamedTuple):
    """Every continuation that a search weighed is a node; nodes stand in the order of the search.

    Attributes:
        tokens: id of each node's last token.
        parents: the node that each continues, -1 for the prompt.
        log_probs: nats, of the whole hypothesis that ends at a node.
        scores: what finished hypotheses are ranked by; NaN for those that are not finished.
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
    """Records the search of `beam_search`, with as many continuations again as fell out of a beam.

    One step after the other, in Python: for looking at a search, not for translating.

    Args:
        step: reads tokens; see `Step`.
        cache: as `beam_search` takes it, of one example.
        prompt: read in one pass, for example BOS.
        beam_size: hypotheses kept at each step.
        max_length: most tokens generated, EOS included.
        length_penalty: number of tokens -> normaliser, positive and never falling.
        eos_id: token that ends a hypothesis.

    Returns:
        The tree; its best hypothesis is the first that `beam_search` returns.

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
    tree = SearchTree([], [], [], [], [], -1)
    logits, cache = step(prompt, cache)
    cache = repeat_history(cache, beam_size)
    logits = jnp.repeat(logits[:, -1:], beam_size, axis=1)
    # Of equal first hypotheses one is enough; what is not there is as improbable as can be.
    log_probs = jnp.where(jnp.arange(beam_size) == 0, 0.0, -jnp.inf)[None]
    nodes = np.full(beam_size, -1)
    for length in range(1, max_length + 1):
        weighed = _weigh(logits, log_probs)
        added = _add(tree, weighed, nodes, beam_size, eos_id, length_penalty(jnp.array(length)))
        log_probs, parents, tokens = (array[:, :beam_size] for array in weighed)
        log_probs, nodes = jnp.where(tokens == eos_id, -jnp.inf, log_probs), added[:beam_size]
        bound = log_probs.max() / length_penalty(jnp.array(max_length))
        if length == max_length or bound <= max(_finished(tree), default=-jnp.inf):
            break
        # What is not there may be said to continue what is not there either.
        cache = reorder_history(cache, jnp.minimum(parents, beam_size - 1))
        logits, cache = step(tokens.reshape(-1, 1), cache)
        logits = logits.reshape(1, beam_size, -1)
    return tree._replace(best=_best(tree, nodes, np.asarray(log_probs[0])))


def _weigh(
    logits: Float[Array, "1 beam vocab"], log_probs: Float[Array, "1 beam"]
) -> tuple[Float[Array, "1 twice"], Int[Array, "1 twice"], Int[Array, "1 twice"]]:
    """Finds twice as many continuations as the beam keeps, by a beam of which half is not there."""
    beam_size = logits.shape[1]
    return best_continuations(
        jnp.pad(logits, ((0, 0), (0, beam_size), (0, 0))),
        jnp.pad(log_probs, ((0, 0), (0, beam_size)), constant_values=-jnp.inf),
    )


def _add(
    tree: SearchTree,
    weighed: tuple[Array, Array, Array],
    nodes: np.ndarray,
    beam_size: int,
    eos_id: int,
    penalty: Array,
) -> np.ndarray:
    """Adds the continuations of `nodes` that exist; gives the node of each one weighed."""
    added = np.full(2 * beam_size, -1)
    columns = (np.asarray(array[0]).tolist() for array in weighed)
    for rank, (log_prob, parent, token) in enumerate(zip(*columns, strict=True)):
        if log_prob == -np.inf:
            continue
        added[rank] = len(tree.tokens)
        tree.tokens.append(token)
        tree.parents.append(int(nodes[parent]))
        tree.log_probs.append(log_prob)
        is_finished = token == eos_id and rank < beam_size
        tree.scores.append(float(jnp.float32(log_prob) / penalty) if is_finished else np.nan)
        tree.is_kept.append(rank < beam_size)
    return added


def _finished(tree: SearchTree) -> dict[float, int]:
    """The first node of every score."""
    scored = zip(tree.scores, range(len(tree.scores)), strict=True)
    return {score: node for score, node in reversed([*scored]) if not np.isnan(score)}


def _best(tree: SearchTree, nodes: np.ndarray, log_probs: np.ndarray) -> int:
    """The finished hypothesis with the best score; of none, the most probable live one."""
    finished = _finished(tree)
    return finished[max(finished)] if finished else int(nodes[log_probs.argmax()])
