"""How probable given texts and given translations are."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.task import Model, Variables
from flax_transformer.tasks.translation.shift_right import shift_right

TOKENS_PER_BATCH = 4096  # as `evaluate` reads


class TextScore(NamedTuple):
    """How probable a text is.

    Attributes:
        log_prob: log-probability in nats, summed over the tokens.
        num_tokens: tokens of the text and its end mark.
        mean_log_prob: log_prob / num_tokens; exp(-mean_log_prob) is the perplexity.
    """

    log_prob: float
    num_tokens: int
    mean_log_prob: float


class ScoredText(NamedTuple):
    """A text that a search has written.

    Attributes:
        text: without the prompt.
        score: log-probability in nats; of a beam search divided by the length penalty. Higher is
            better.
    """

    text: str
    score: float


def score_texts(
    model: Model,
    variables: Variables,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_length: int,
    first_line: int = 1,
) -> list[TextScore]:
    """Computes log p(text), the end mark included, after the mark that begins a document.

    A text of more than max_length tokens is cut into pieces as in `evaluate`: each token is
    predicted from those before it in its piece. A `CutTextWarning` reports it.

    Args:
        model: the decoder.
        variables: its parameters.
        tokenizer: its tokens.
        texts: any; an empty one has only its end mark.
        max_length: tokens that the model reads at a time.
        first_line: number of the first text, as warnings count.

    Returns:
        One score a text.
    """
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
    by_piece = _by_row(len(pieces), batches, partial(_score_tokens, model, variables))
    sums = np.bincount(texts_of_pieces, by_piece, minlength=len(texts))
    return _scores(sums.astype(np.float64), lengths)  # without texts they are integers


def score_pairs(
    model: Model,
    variables: Variables,
    tokenizer: Tokenizer,
    pairs: Sequence[Pair],
    max_length: int,
    first_line: int = 1,
) -> list[TextScore]:
    """Computes log p(target | source), the target's end mark included.

    A source is cut to max_length tokens as `translate` cuts it, with a `CutTextWarning`; a target
    is never cut.

    Args:
        model: the encoder-decoder.
        variables: its parameters and statistics.
        tokenizer: its joint subwords.
        pairs: sources and targets.
        max_length: source tokens read at most, end mark included.
        first_line: number of the first pair, as warnings and errors count.

    Returns:
        One score a pair.

    Raises:
        UserError: if a target is longer than the model's table of positions.
    """
    source, target = (
        TokenizedText.encode(tokenizer, side)
        for side in ([pair.source for pair in pairs], [pair.target for pair in pairs])
    )
    lengths = target.lengths.tolist()
    longest, limit = max([max_length, *lengths]), model.config.position_limit()
    if limit is not None and longest > limit:
        raise UserError(
            f"target {lengths.index(longest) + first_line} has {longest} tokens, but the model "
            f"writes at most {limit}: split the pair into sentences"
        )
    what = f"only the first {max_length} of the source are read; split the pair into sentences"
    _warn_of_long(source.lengths.tolist(), max_length, what, first_line)
    tokenized = TokenizedPairs(source.cut(max_length), target)
    tokens = max(TOKENS_PER_BATCH, longest)
    batches = LengthBatches.for_evaluation(tokenized, tokens, longest)
    score = partial(_score_targets, model, variables, tokenizer.bos_id)
    sums = _by_row(len(pairs), batches, score)
    return _scores(sums, lengths)


def _by_row(
    num_rows: int,
    batches: Batches,
    score: Callable[[Batch], Array],
) -> Float64[np.ndarray, " num_rows"]:
    """Scores the rows of all batches and puts them back into their order."""
    scores = np.zeros(num_rows)
    for indices, batch in batches.epoch():
        exists = indices >= 0
        scores[indices[exists]] = np.asarray(score(batch))[exists]
    return scores


@partial(jax.jit, static_argnums=0)
def _score_tokens(model: Model, variables: Variables, batch: Batch) -> Float[Array, " rows"]:
    tokens, segments = jnp.asarray(batch.source), jnp.asarray(batch.source_segments)
    logits = model.apply(variables, tokens[:, :-1], segments=segments[:, :-1])
    return _log_probs(logits, tokens[:, 1:], segments[:, 1:])


@partial(jax.jit, static_argnums=(0, 2))
def _score_targets(
    model: Model, variables: Variables, bos_id: int, batch: Batch
) -> Float[Array, " rows"]:
    source, target, source_segments, target_segments = map(jnp.asarray, batch)
    logits = model.apply(
        variables,
        source,
        shift_right(target, target_segments, bos_id),
        source_segments=source_segments,
        target_segments=target_segments,
    )
    return _log_probs(logits, target, target_segments)


def _log_probs(
    logits: Float[Array, "rows length vocab"],
    target: Int[Array, "rows length"],
    segments: Int[Array, "rows length"],
) -> Float[Array, " rows"]:
    """The log-probability of each row's targets, padding left out."""
    weights = (segments != 0).astype(jnp.float32)
    losses, _ = jax.vmap(label_smoothed_cross_entropy)(logits, target, weights)
    return -losses


def _scores(sums: Float64[np.ndarray, " texts"], num_tokens: Sequence[int]) -> list[TextScore]:
    pairs = zip(sums.tolist(), num_tokens, strict=True)
    return [TextScore(total, length, total / length) for total, length in pairs]


def _warn_of_long(
    lengths: Sequence[int], max_length: int, consequence: str, first_line: int
) -> None:
    """Warns once: how many are too long, which is the first, and the consequence."""
    long = [place for place, length in enumerate(lengths) if length > max_length]
    if long:
        more = f" (and {len(long) - 1} more)" if len(long) > 1 else ""
        warnings.warn(
            f"text {first_line + long[0]}{more} has {lengths[long[0]]} tokens, more than the "
            f"{max_length} that the model reads at a time: {consequence}",
            CutTextWarning,
            stacklevel=4,
        )
