"""The best continuations of a beam's hypotheses."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flax_transformer.functional.ranking import top_k


def best_continuations(
    logits: Float[Array, "batch beam vocab"],
    log_probs: Float[Array, "batch beam"],
    number: int,
    process: Callable[[Array], Array] | None = None,
) -> tuple[Float[Array, "batch number"], Int[Array, "batch number"], Int[Array, "batch number"]]:
    """Finds the most probable of all beam * vocab continuations, the best first.

    Args:
        logits: [batch, beam, vocab], of each hypothesis' next token.
        log_probs: [batch, beam], of the hypotheses; -inf for an empty place.
        number: continuations to find; if there are fewer, all are found.
        process: changes the next tokens' log-probabilities before they are ranked.

    Returns:
        Log-probability, parent (0 .. beam-1) and token of each continuation, all [batch, number].
        Equal ones are ordered by parent, then by token. The log-probability of those that continue
        an empty place is -inf.

    Example:
        >>> logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]))
        >>> _, parents, tokens = best_continuations(logits, jnp.log(jnp.array([[0.2, 0.8]])), 2)
        >>> parents.tolist(), tokens.tolist()
        ([[1, 1]], [[0, 1]])
    """
    batch, _, vocab = logits.shape
    logits = logits.astype(jnp.float32)  # XLA sorts bfloat16 in full, many times slower on a CPU.
    # A hypothesis has at most `number` continuations among the best of all, so one pass over the
    # vocabulary finds them and neither the sum nor the softmax is ever stored for all.
    if process is None:
        top_logits, top_tokens = top_k(logits, min(number, vocab))
        gained = top_logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    else:
        gained, top_tokens = top_k(process(jax.nn.log_softmax(logits)), min(number, vocab))
    exists = log_probs[..., None] > -jnp.inf  # logits of an absent hypothesis may even be NaN
    candidates = jnp.where(exists, log_probs[..., None] + gained, -jnp.inf).reshape(batch, -1)
    best, index = jax.lax.top_k(candidates, min(number, candidates.shape[1]))
    tokens = jnp.take_along_axis(top_tokens.reshape(batch, -1), index, axis=1)
    return best, index // top_tokens.shape[-1], tokens
