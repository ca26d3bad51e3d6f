"""Random tokens that repeat themselves: the test of induction."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flax_transformer.functional.losses import label_smoothed_cross_entropy


class RepeatedTokens(NamedTuple):
    """Rows of random tokens, each followed by itself.

    Attributes:
        tokens: token ids.
        is_repeat: True for a token that stood one period before.
    """

    tokens: Int[Array, "rows length"]
    is_repeat: Bool[Array, "rows length"]


def repeated_tokens(
    rng: PRNGKeyArray, num_rows: int, length: int, periods: tuple[int, int], vocab_size: int
) -> RepeatedTokens:
    """Draws rows of random tokens that are followed by themselves, until the row is full.

    token_i = random            for i < period
              token_{i-period}  for i >= period

    Nothing predicts a token before the first repeat. Afterwards only the row itself does. Each row
    has its own period, so attention to a fixed distance does not find the token to repeat.

    Args:
        rng: random key.
        num_rows: number of rows.
        length: tokens of a row.
        periods: smallest and largest period, in tokens; all between are equally likely.
        vocab_size: ids are from 0 to vocab_size - 1, all equally likely.

    Raises:
        ValueError: if the periods are not from 1 to length, the smaller one first.

    Example:
        >>> row = repeated_tokens(jax.random.key(0), 1, 7, (3, 3), vocab_size=50)
        >>> row.tokens[0, :4].tolist() == row.tokens[0, 3:].tolist()
        True
        >>> row.is_repeat[0].tolist()
        [False, False, False, True, True, True, True]

    Reference:
        Olsson et al. 2022, "In-context Learning and Induction Heads", section "Argument 4".
    """
    smallest, largest = periods
    if not 1 <= smallest <= largest <= length:
        raise ValueError(f"periods {periods} must be from 1 to the length {length}, in order")
    of_tokens, of_periods = jax.random.split(rng)
    drawn = jax.random.randint(of_tokens, (num_rows, largest), 0, vocab_size)
    period = jax.random.randint(of_periods, (num_rows, 1), smallest, largest + 1)
    place = jnp.arange(length)
    tokens = jnp.take_along_axis(drawn, place % period, axis=1)
    return RepeatedTokens(tokens, place >= period)


def repeat_losses(
    model: Any, variables: Mapping[str, Any], repeated: RepeatedTokens
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Computes the mean losses of new and of repeated tokens.

    A model that copies has a small loss of repeated tokens. The loss of new tokens is at least
    ln(vocab_size), whatever a model computes.

    Args:
        model: a decoder-only model.
        variables: of the model.
        repeated: from `repeated_tokens`; the first token of a row has no loss.

    Returns:
        (of new tokens, of repeated tokens), in nats.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model = config.build(vocab_size=7)
        >>> repeated = repeated_tokens(jax.random.key(0), 2, 11, (3, 5), vocab_size=7)
        >>> variables = model.init(jax.random.key(1), repeated.tokens)
        >>> [round(float(loss), 1) for loss in repeat_losses(model, variables, repeated)]
        [1.9, 1.9]
    """
    tokens, is_repeat = repeated
    logits = model.apply(variables, tokens[:, :-1])

    def mean(is_counted: Array) -> Array:
        weights = is_counted[:, 1:].astype(jnp.float32)
        total, weight = label_smoothed_cross_entropy(logits, tokens[:, 1:], weights)
        return total / jnp.maximum(weight, 1)

    return mean(~is_repeat), mean(is_repeat)
