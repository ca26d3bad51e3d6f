"""Language modelling: from pieces of text to the loss of their next tokens."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.data.batches.windows import TextBatch
from flax_transformer.data.tokens.tokenizer import PAD
from flax_transformer.errors import UserError
from flax_transformer.functional.losses import linear_cross_entropy
from flax_transformer.models.decoder_only import DecoderOnly
from flax_transformer.tasks.counts import Counts, count_tokens
from flax_transformer.tasks.task import Variables


@dataclasses.dataclass(frozen=True)
class LanguageModelingConfig:
    """How a language model is trained."""

    label_smoothing: float = 0.0
    """Probability mass of the next token spread evenly over the vocabulary."""

    def __post_init__(self) -> None:
        """Refuses a smoothing that is no share."""
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"task.label_smoothing must be in [0, 1), not {self.label_smoothing}")


class LanguageModeling:
    """A decoder-only model and the loss of the next token.

    Attributes:
        config: how the model is trained.
        model: the decoder.

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.
    """

    def __init__(self, config: LanguageModelingConfig, model: DecoderOnly):
        self.config = config
        self.model = model

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters."""
        return jax.jit(self.model.init)(rng, jnp.zeros((1, 1), jnp.int32))

    def loss(
        self, params: Any, statistics: dict[str, Any], batch: TextBatch, dropout_rng: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Any]]:
        """Sums the training loss of a batch; see `Objective`."""
        tokens = jnp.asarray(batch.tokens)
        target = tokens[:, 1:]
        applied: Any = self.model.apply(
            {"params": params, **statistics},
            tokens[:, :-1],
            rngs={"dropout": dropout_rng},
            mutable=list(statistics),
            method=_logit_factors,
        )
        (hidden, table), statistics = applied
        weights = (target != PAD).astype(jnp.float32)
        loss, weight = linear_cross_entropy(
            hidden, table, target, weights, self.config.label_smoothing
        )
        return loss, weight, statistics

    def count(self, variables: Variables, batch: TextBatch) -> Counts:
        """Counts how well the model predicts each token from those before it in its piece."""
        tokens = jnp.asarray(batch.tokens)
        logits: Any = self.model.apply(variables, tokens[:, :-1])
        return count_tokens(logits, tokens[:, 1:])


def _logit_factors(model: DecoderOnly, tokens: Array) -> Any:
    """What the logits are the product of, see `functional.linear_cross_entropy`."""
    return model.embedding.logit_factors(model.represent(tokens, deterministic=False))
