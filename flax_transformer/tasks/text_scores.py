"""Log-probabilities of given texts and given translations."""

import functools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from flax_transformer.data.batches.batch import Batch, TextBatch
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.errors import UserError
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.target_tokens import next_tokens
from flax_transformer.tasks.task import Model, Variables
from flax_transformer.tasks.text_predictor import TextPredictor

TOKENS_PER_BATCH = 4096  # same as in `evaluate`


class TextScore(NamedTuple):
    """Log-probability of a text.

    Attributes:
        log_prob: log-probability in nats, summed over the tokens.
        num_tokens: tokens of the text and its end mark.
        mean_log_prob: log_prob / num_tokens; exp(-mean_log_prob) is the perplexity.
    """

    log_prob: float
    num_tokens: int
    mean_log_prob: float


def score_texts(
    predictor: TextPredictor, texts: Sequence[str], first_line: int = 1
) -> list[TextScore]:
    """Computes log p(text), including the end mark, given the begin mark of a document.

    A text with more tokens than the model reads at a time is split into pieces as in `evaluate`:
    each token is predicted from the earlier tokens of its piece. A `CutTextWarning` reports it.

    Args:
        predictor: of a decoder-only model.
        texts: any; an empty text has only its end mark.
        first_line: line number of the first text in warnings.

    Returns:
        One score per text.
    """
    tokenizer, max_length = predictor.tokenizer, predictor.max_length
    end = tokenizer.eos_id
    streams = [[end, *ids, end] for ids in tokenizer.encode_batch(texts)]
    pieces, texts_of_pieces = [], []
    for number, stream in enumerate(streams):
        starts = range(0, len(stream) - 1, max_length)
        pieces += [stream[start : start + max_length + 1] for start in starts]
        texts_of_pieces += [number] * len(starts)
    lengths = [len(stream) - 1 for stream in streams]
    what = "it is scored in pieces, each token given those before it in its piece"
    _warn_of_long(lengths, max_length, what, first_line)
    rows = TokenizedPairs.without_targets(TokenizedText.of(pieces))
    batches = LengthBatches.for_evaluation(rows, TOKENS_PER_BATCH, max_length + 1)
    sums = np.bincount(texts_of_pieces, _log_probs(predictor, batches), minlength=len(texts))
    return _scores(sums.astype(np.float64), lengths)  # without texts the sums are integers


def score_pairs(
    predictor: TextPredictor, sources: Sequence[str], targets: Sequence[str], first_line: int = 1
) -> list[TextScore]:
    """Computes log p(target | source), including the target's end mark.

    A source is cut to max_length tokens as in `translate`, with a `CutTextWarning`. A target is
    never cut.

    Args:
        predictor: of an encoder-decoder.
        sources: texts.
        targets: one translation per source.
        first_line: line number of the first pair in warnings and errors.

    Returns:
        One score per pair.

    Raises:
        UserError: if a target is longer than the model's table of positions.
    """
    max_length = predictor.max_length
    source = TokenizedText.encode(predictor.tokenizer, sources)
    target = TokenizedText.encode(predictor.tokenizer.target, targets)
    lengths = target.lengths.tolist()
    longest, limit = max([max_length, *lengths]), predictor.model.config.position_limit()
    if limit is not None and longest > limit:
        raise UserError(
            f"target {lengths.index(longest) + first_line} has {longest} tokens, but the model "
            f"writes at most {limit}: split the pair into sentences"
        )
    what = f"only the first {max_length} of the source are read; split the pair into sentences"
    _warn_of_long(source.lengths.tolist(), max_length, what, first_line)
    rows = TokenizedPairs(source.cut(max_length), target)
    batches = LengthBatches.for_evaluation(rows, max(TOKENS_PER_BATCH, longest), longest)
    return _scores(_log_probs(predictor, batches), lengths)


def _log_probs(
    predictor: TextPredictor, batches: LengthBatches
) -> Float64[np.ndarray, " num_rows"]:
    """Scores the rows of all batches in order; without targets, the rows are texts."""
    found: dict[int, float] = {}
    for indices, batch in batches.epoch():
        is_text = not batch.target_segments.any()
        rows = TextBatch(batch.source, batch.source_segments) if is_text else batch
        scores = _score(predictor.model, predictor.variables, predictor.tokenizer.bos_id, rows)
        found |= zip(indices.tolist(), np.asarray(scores).tolist(), strict=True)
    found.pop(-1, None)  # index of rows that only fill a batch
    return np.array([found[row] for row in sorted(found)], np.float64)


@functools.partial(jit_by_rows, rows=("batch",), static_argnames=("model", "bos_id"))
def _score(
    model: Model, variables: Variables, bos_id: int, batch: Batch | TextBatch
) -> Float[Array, " rows"]:
    """The log-probability of each row's targets, without padding."""
    inputs, target, is_target = next_tokens(batch, bos_id)
    logits = model.apply(variables, **inputs)
    losses, _ = jax.vmap(label_smoothed_cross_entropy)(
        logits, target, is_target.astype(jnp.float32)
    )
    return -losses


def _scores(sums: Float64[np.ndarray, " texts"], num_tokens: Sequence[int]) -> list[TextScore]:
    pairs = zip(sums.tolist(), num_tokens, strict=True)
    return [TextScore(total, length, total / length) for total, length in pairs]


def _warn_of_long(
    lengths: Sequence[int], max_length: int, consequence: str, first_line: int
) -> None:
    """Warns once with the number of too long texts, the first of them, and the consequence."""
    long = [place for place, length in enumerate(lengths) if length > max_length]
    if long:
        more = f" (and {len(long) - 1} more)" if len(long) > 1 else ""
        warnings.warn(
            f"text {first_line + long[0]}{more} has {lengths[long[0]]} tokens, more than the "
            f"{max_length} that the model reads at a time: {consequence}",
            CutTextWarning,
            stacklevel=4,
        )
