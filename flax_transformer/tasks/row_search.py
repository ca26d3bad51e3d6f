"""Search for the outputs of a batch of rows, with one compiled program per shape."""

import dataclasses
import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, PRNGKeyArray, UInt32

from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits
from flax_transformer.decoding.sampling import row_keys
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.functional.cache import Cache
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.tasks.task import Model, Variables


class SearchRows(NamedTuple):
    """The arrays of a batch.

    Attributes:
        prompts: tokens that the decoder reads first.
        limits: largest numbers of tokens to write.
        numbers: from which the random key of each row is made.
        lengths: tokens of the whole text so far; a prompt may hold only its end.
        source: tokens that the encoder reads, padded on the right; None without an encoder.
        segments: 1 at tokens of the source and 0 at padding.
        padding: numbers of padding tokens on the left of the prompts; None if there are none.
    """

    prompts: Int32[Array | np.ndarray, "rows prompt_length"]
    limits: Int32[Array | np.ndarray, " rows"]
    numbers: UInt32[Array | np.ndarray, "rows words"]
    lengths: Int32[Array | np.ndarray, " rows"] | None = None
    source: Int32[Array | np.ndarray, "rows source_length"] | None = None
    segments: Int32[Array | np.ndarray, "rows source_length"] | None = None
    padding: Int32[Array | np.ndarray, " rows"] | None = None


@functools.partial(
    jit_by_rows, rows=("rows",), static_argnames=("model", "decoding", "limits", "num_halvings")
)
def search_rows(
    model: Model,
    variables: Variables,
    rows: SearchRows,
    rng: PRNGKeyArray,
    *,
    decoding: DecodingConfig,
    limits: SearchLimits,
    num_halvings: int = 0,
) -> Hypotheses:
    """Searches for the outputs of a batch.

    Args:
        model: an encoder-decoder or a decoder.
        variables: of the model.
        rows: the batch.
        rng: random key of sampling.
        decoding: how to search.
        limits: for the whole batch; the limits of each row are in `rows`.
        num_halvings: of a beam search; see `search`.
    """
    num_rows, prompt_length = rows.prompts.shape
    # The last found token is never read.
    capacity = prompt_length + limits.max_length - 1
    if rows.source is None:
        cache = model.apply(variables, num_rows, capacity, method=model.start)
    else:
        options = {"segments": rows.segments, "method": model.start}
        cache = model.apply(variables, rows.source, capacity, **options)

    def step(tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        is_token = jnp.ones(tokens.shape, bool)
        # Only the prompt has several tokens. An id does not show padding: a published decoder may
        # begin with that of padding.
        if tokens.shape[1] > 1 and rows.padding is not None:
            is_token = jnp.arange(prompt_length) >= rows.padding[:, None]
        return model.apply(variables, tokens, cache, is_token=is_token, method=model.decode)

    lengths = rows.lengths
    if lengths is None:
        padding = 0 if rows.padding is None else rows.padding
        lengths = jnp.broadcast_to(prompt_length - padding, (num_rows,))
    own = {"max_lengths": jnp.asarray(rows.limits), "prompt_lengths": lengths}
    return search(
        decoding,
        step,
        cache,
        jnp.asarray(rows.prompts),
        dataclasses.replace(limits, **own),
        rng=row_keys(rng, rows.numbers),
        num_halvings=num_halvings,
    )
