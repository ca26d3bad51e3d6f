"""Masked language modelling: from texts to the loss of the tokens that are hidden in them."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flax_transformer.data.batches.examples import LabelledBatch
from flax_transformer.data.tokens.tokenizer import BOS, NUM_SPECIAL, PAD
from flax_transformer.errors import UserError
from flax_transformer.functional.layout import token_segments
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.models.encoder_only import EncoderOnly
from flax_transformer.tasks.counts import Counts, count_tokens
from flax_transformer.tasks.task import Variables

# Padding's row of the embedding is read by nothing else, for segments tell what is padding. So a
# model that never saw a mask has the same parameters.
MASK = PAD
MASKED_SHARE, REPLACED_SHARE = 0.8, 0.1  # of the chosen tokens; the others stay as they are
DEVIATIONS = 5  # of the number of chosen tokens, for which there is room: 3 in 10^7 batches more


@dataclasses.dataclass(frozen=True)
class MaskedLanguageModelingConfig:
    """How a masked language model is trained."""

    mask_rate: float = 0.15
    """Probability of each token to be one that is to be predicted."""

    def __post_init__(self) -> None:
        """Refuses what is no share, or leaves nothing to predict."""
        if not 0 < self.mask_rate < 1:
            raise UserError(f"task.mask_rate must be above 0 and below 1, not {self.mask_rate}")


class Masked(NamedTuple):
    """Texts of which some tokens are hidden.

    Attributes:
        tokens: what a model reads.
        is_chosen: where it is to predict what stood there.
    """

    tokens: Int[Array, "rows length"]
    is_chosen: Bool[Array, "rows length"]


@functools.partial(jax.jit, static_argnames=("vocab_size", "rate"))
def mask_tokens(
    rng: PRNGKeyArray, tokens: Int[Array, "rows length"], vocab_size: int, rate: float
) -> Masked:
    """Chooses tokens at random and hides them as BERT does.

    Each token but the special ones is chosen with probability `rate`; of the chosen ones, each is
    the mask with probability 0.8, any token of the vocabulary with 0.1, and itself with 0.1.

    Args:
        rng: random key.
        tokens: ids of texts, padded.
        vocab_size: number of ids.
        rate: probability of a token to be chosen.

    Returns:
        The hidden tokens.

    Example:
        >>> masked = mask_tokens(jax.random.key(0), jnp.array([[1, 5, 7, 2, 0]]), 11, rate=0.999)
        >>> masked.is_chosen.astype(int).tolist()
        [[0, 1, 1, 0, 0]]

    Reference:
        Devlin et al. 2019, "BERT", section 3.1, task 1, and appendix A.1.
    """
    chosen_rng, kind_rng, token_rng = jax.random.split(rng, 3)
    is_chosen = (tokens >= NUM_SPECIAL) & (jax.random.uniform(chosen_rng, tokens.shape) < rate)
    kind = jax.random.uniform(kind_rng, tokens.shape)
    others = jax.random.randint(token_rng, tokens.shape, NUM_SPECIAL, vocab_size, tokens.dtype)
    is_kept = kind >= MASKED_SHARE + REPLACED_SHARE
    hidden = jnp.where(kind < MASKED_SHARE, MASK, jnp.where(is_kept, tokens, others))
    return Masked(jnp.where(is_chosen, hidden, tokens), is_chosen)


class MaskedLanguageModeling:
    """An encoder-only model and the loss of the tokens hidden from it.

    Attributes:
        config: how the model is trained.
        model: the encoder.

    Reference:
        Devlin et al. 2019, "BERT", section 3.1, task 1.
    """

    def __init__(self, config: MaskedLanguageModelingConfig, model: EncoderOnly):
        self.config = config
        self.model = model

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters."""
        init = jax.jit(self.model.init, static_argnames="method")
        return init(rng, jnp.full((1, 1), BOS, jnp.int32), method="predict_tokens")

    def loss(
        self,
        params: Any,
        statistics: dict[str, Any],
        batch: LabelledBatch,
        dropout_rng: PRNGKeyArray,
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Any]]:
        """Sums the training loss of a batch; see `Objective`."""
        mask_rng, dropout_rng = jax.random.split(dropout_rng)
        (logits, targets), statistics = self._predict(
            {"params": params, **statistics},
            batch,
            mask_rng,
            deterministic=False,
            rngs={"dropout": dropout_rng},
            mutable=list(statistics),
        )
        weights = (targets != PAD).astype(jnp.float32)
        loss, weight = label_smoothed_cross_entropy(logits, targets, weights)
        return loss, weight, statistics

    def count(self, variables: Variables, batch: LabelledBatch, mask_rng: PRNGKeyArray) -> Counts:
        """Counts how well the model predicts tokens that are hidden as in training."""
        (logits, targets), _ = self._predict(variables, batch, mask_rng, deterministic=True)
        return count_tokens(logits, targets)

    def predict(
        self, variables: Variables, tokens: Int[Array, "rows length"], lengths: Int[Array, " rows"]
    ) -> Float[Array, "rows length vocab"]:
        """Gives the probabilities of what stands at each place, some of which are masks.

        Args:
            variables: of the model.
            tokens: texts with masks, padded on the right.
            lengths: tokens of each text.
        """
        segments = (jnp.arange(tokens.shape[1]) < lengths[:, None]).astype(jnp.int32)
        logits: Any = self.model.apply(
            variables, tokens, segments=segments, method="predict_tokens"
        )
        return jax.nn.softmax(logits.astype(jnp.float32))

    def _predict(
        self, variables: Variables, batch: LabelledBatch, mask_rng: PRNGKeyArray, **options: Any
    ) -> tuple[tuple[Array, Array], Any]:
        """Logits [1, room, vocab] and the tokens there [1, room], padding where room is left."""
        tokens = jnp.asarray(batch.inputs)
        masked = mask_tokens(mask_rng, tokens, self.model.vocab_size, self.config.mask_rate)
        # The head is most of the work of a small model, and is asked for chosen places alone.
        room = _room(tokens.size, self.config.mask_rate)
        places = jnp.flatnonzero(masked.is_chosen, size=room, fill_value=tokens.size)
        targets = tokens.ravel().at[places].get(mode="fill", fill_value=PAD)
        applied: Any = self.model.apply(
            variables, masked.tokens, token_segments(tokens, 0), places, **options, method=_score
        )
        logits, statistics = applied if "mutable" in options else (applied, {})
        return (logits, targets[None]), statistics


def _score(
    model: EncoderOnly, tokens: Array, segments: Array, places: Array, deterministic: bool
) -> Array:
    """Scores what stands at some places of a flattened batch; others than there are, at any."""
    hidden = model(tokens, segments=segments, deterministic=deterministic)
    chosen = hidden.reshape(-1, hidden.shape[-1]).at[places].get(mode="clip")
    is_token = places < tokens.size
    return model.score_tokens(chosen[None], is_token[None], deterministic=deterministic)


def _room(num_places: int, rate: float) -> int:
    """How many places may be chosen; a batch in which more are loses the last of them."""
    deviation = math.sqrt(num_places * rate * (1 - rate))
    return min(num_places, math.ceil(num_places * rate + DEVIATIONS * deviation))
