"""Translation: from a batch of sentence pairs to a loss and to counts of what was right."""

import dataclasses
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.tokens.tokenizer import BOS, PAD
from flax_transformer.errors import UserError, unknown
from flax_transformer.evaluation.bleu_tokenizers import BleuTokenizer
from flax_transformer.functional.losses import (
    SmoothingOver,
    linear_cross_entropy,
)
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.tasks.counts import Counts, count_tokens
from flax_transformer.tasks.task import Variables


@dataclasses.dataclass(frozen=True)
class TranslationConfig:
    """How a translation model is trained and scored."""

    label_smoothing: float = 0.1
    """Probability mass of the targets spread evenly over other tokens."""
    smoothing_over: SmoothingOver = "vocab"
    """Tokens that share this mass: the whole vocab (Szegedy et al. 2016), or the others without the
    target (T2T, fairseq)."""
    bleu_tokenizer: BleuTokenizer = "auto"
    """sacreBLEU's name of the tokenizer by which BLEU splits texts into words. auto chooses by the
    target language, or by the script of the references: zh; ja-mecab and ko-mecab if they are
    installed; char if words are not separated by spaces; else 13a."""

    def __post_init__(self) -> None:
        """Refuses a smoothing that is not a share, and unknown names."""
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"task.label_smoothing must be in [0, 1), not {self.label_smoothing}")
        if self.smoothing_over not in get_args(SmoothingOver):
            raise unknown("task.smoothing_over", self.smoothing_over, get_args(SmoothingOver))
        if self.bleu_tokenizer not in get_args(BleuTokenizer):
            raise unknown("--task.bleu-tokenizer", self.bleu_tokenizer, get_args(BleuTokenizer))


def shift_right(
    target: Int[Array, "batch length"], segments: Int[Array, "batch length"] | None = None
) -> Int[Array, "batch length"]:
    """Makes the decoder's input of a target: the begin mark, then all tokens but the last.

    Args:
        target: token ids.
        segments: where a row holds several targets, the number of each token's own.

    Returns:
        The tokens before those of the target, each segment's first being the begin mark.

    Example:
        >>> shift_right(jnp.array([[5, 7, 2]])).tolist()
        [[1, 5, 7]]
        >>> shift_right(jnp.array([[5, 7, 2, 6, 2]]), jnp.array([[1, 1, 1, 2, 2]])).tolist()
        [[1, 5, 7, 1, 6]]
    """
    before = jnp.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=BOS)
    if segments is None:
        return before
    goes_on = jnp.pad(segments[:, 1:] == segments[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(goes_on, before, BOS)


class Translation:
    """The task: a model and what its training minimises.

    Attributes:
        config: how the model is trained.
        model: the encoder-decoder.
    """

    def __init__(self, config: TranslationConfig, model: EncoderDecoder):
        self.config = config
        self.model = model

    def init(self, rng: PRNGKeyArray) -> Variables:
        """Draws the model's first parameters; statistics start neutral."""
        tokens = jnp.zeros((1, 1), jnp.int32)
        return jax.jit(self.model.init)(rng, tokens, tokens)

    def loss(
        self, params: Any, statistics: dict[str, Any], batch: Batch, dropout_rng: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Float[Array, ""], dict[str, Any]]:
        """Sums the training loss of a batch.

        Args:
            params: the model's parameters.
            statistics: the model's other collections.
            batch: sentence pairs.
            dropout_rng: random key of the dropout.

        Returns:
            The label-smoothed cross-entropy in nats, the number of target tokens, and the
            statistics with this batch taken in.
        """
        target = jnp.asarray(batch.target)
        applied: Any = self.model.apply(
            {"params": params, **statistics},
            **_inputs(batch),
            deterministic=False,
            rngs={"dropout": dropout_rng},
            mutable=list(statistics),
            method=_logit_factors,
        )
        (hidden, table), statistics = applied
        weights = (target != PAD).astype(jnp.float32)
        config = self.config
        loss, weight = linear_cross_entropy(
            hidden, table, target, weights, config.label_smoothing, config.smoothing_over
        )
        return loss, weight, statistics

    def count(self, variables: Variables, batch: Batch) -> Counts:
        """Counts how well the model predicts each target token from the right ones before it."""
        target = jnp.asarray(batch.target)
        logits: Any = self.model.apply(variables, **_inputs(batch))
        return count_tokens(logits, target)


def _inputs(batch: Batch) -> dict[str, Any]:
    """What the model reads of a batch."""
    arrays: Any = jax.tree.map(jnp.asarray, batch)  # without segments None stays None
    return {
        "source": arrays.source,
        "target": shift_right(arrays.target, arrays.target_segments),
        "source_segments": arrays.source_segments,
        "target_segments": arrays.target_segments,
    }


def _logit_factors(model: EncoderDecoder, **inputs: Any) -> Any:
    """What the logits are the product of, see `functional.linear_cross_entropy`."""
    return model.embedding.logit_factors(model.represent(**inputs))
