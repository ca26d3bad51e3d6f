"""Random masking of tokens for masked language modeling."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.functional.row_keys import row_keys

MASKED_SHARE, REPLACED_SHARE = 0.8, 0.1  # shares of the chosen tokens; the others stay unchanged
DEVIATIONS = 5  # standard deviations of room for chosen tokens: 3 in 10^7 batches need more


def mask_tokens(
    rng: PRNGKeyArray,
    tokens: Int[Array | np.ndarray, "rows length"],
    tokenizer: Tokenizer,
    rate: float,
) -> tuple[Int[Array, "rows length"], Bool[Array, "rows length"]]:
    """Chooses tokens at random and hides them as BERT does.

    Each token except special ones is chosen with probability `rate`. A chosen token becomes the
    mask with probability 0.8, a random token of the vocabulary with 0.1, and is kept with 0.1.

    Args:
        rng: random key.
        tokens: ids of texts, padded.
        tokenizer: with the ids of the mask and of special tokens.
        rate: probability that a token is chosen.

    Returns:
        The model's input, and True where it must predict the original token.

    Example:
        >>> tokenizer = Tokenizer.of_characters(["abcdefgh"])
        >>> tokens = jnp.array([[1, 5, 7, 2, 0]])
        >>> _, is_chosen = mask_tokens(jax.random.key(0), tokens, tokenizer, rate=0.999)
        >>> is_chosen.astype(int).tolist()
        [[0, 1, 1, 0, 0]]

    Reference:
        Devlin et al. 2019, "BERT", section 3.1, task 1, and appendix A.1.
    """
    tokens = jnp.asarray(tokens)
    special_ids = np.array(tokenizer.special_ids, tokens.dtype)
    ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), special_ids)
    is_text = ~jnp.isin(tokens, special_ids)
    chance, kind, numbers = _draw(row_keys(rng, len(tokens)), tokens.shape[1], len(ordinary))
    is_chosen = is_text & (chance < rate)
    others = jnp.asarray(ordinary, tokens.dtype)[numbers]
    is_kept = kind >= MASKED_SHARE + REPLACED_SHARE
    hidden = jnp.where(kind < MASKED_SHARE, tokenizer.mask_id, jnp.where(is_kept, tokens, others))
    return jnp.where(is_chosen, hidden, tokens), is_chosen


@functools.partial(jax.vmap, in_axes=(0, None, None))
def _draw(rng: PRNGKeyArray, length: int, num_tokens: int) -> tuple[Array, Array, Array]:
    """Draws for each token of a row two numbers in [0, 1) and the number of a token."""
    chosen_rng, kind_rng, token_rng = jax.random.split(rng, 3)
    chance, kind = (jax.random.uniform(key, (length,)) for key in (chosen_rng, kind_rng))
    return chance, kind, jax.random.randint(token_rng, (length,), 0, num_tokens)


def room_for_chosen(num_places: int, rate: float) -> int:
    """Number of chosen places that fit; the last ones of a batch with more are dropped."""
    deviation = math.sqrt(num_places * rate * (1 - rate))
    return min(num_places, math.ceil(num_places * rate + DEVIATIONS * deviation))
