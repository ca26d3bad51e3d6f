"""Runs of a decoder with a cache: token by token, in pieces, and with hypotheses that move."""

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.decoding.hypotheses import reorder_history, repeat_history
from flax_transformer.functional.cache import Cache
from flax_transformer.inspection.proof_inputs import Kind
from flax_transformer.inspection.proof_places import BY_PAIRS, Laid
from flax_transformer.inspection.proof_runs import Arrays, Look, apply

SPARE = 3  # places of a cache that stay empty


def run_cached(
    model: Any,
    kind: Kind,
    variables: Any,
    laid: Laid,
    sizes: Sequence[int],
    look: Look = "nothing",
) -> Arrays:
    """Reads rows step by step, as a search does.

    Args:
        model: a module with `start` and `decode`.
        kind: of the module.
        variables: of the module.
        laid: sequences, one in each row.
        sizes: tokens of each step; their sum is the width of the rows.
        look: which activations to return.

    Returns:
        The arrays of all steps side by side, as if the rows had been read at once.
    """
    target = kind.sides[-1]
    cache, arrays = _start(model, kind, variables, laid, sum(sizes) + SPARE, look)
    parts, done = [], 0
    for size in sizes:
        tokens, segments = (x[target][:, done : done + size] for x in (laid.rows, laid.segments))
        given = jnp.asarray(tokens), jnp.asarray(segments != 0)
        cache, part = _step(model, variables, cache, *given, look=look)
        parts.append(jax.device_get(part))
        done += size
    return OrderedDict(**jax.device_get(arrays), **side_by_side(parts))


def side_by_side(parts: Sequence[Arrays]) -> Arrays:
    """Joins the arrays of steps along the axis of queries."""
    return OrderedDict(
        (name, np.concatenate([part[name] for part in parts], query_axis(name)))
        for name in parts[0]
    )


def query_axis(name: str) -> int:
    """Returns the axis of places, of queries in attention, of an activation."""
    return 2 if name.rpartition(".")[2] in BY_PAIRS else 1


def _start(
    model: Any, kind: Kind, variables: Any, laid: Laid, capacity: int, look: Look
) -> tuple[Cache, Arrays]:
    """Makes an empty cache; a source is encoded."""
    *sources, target = kind.sides
    if sources:
        source, segments = (jnp.asarray(x[sources[0]]) for x in (laid.rows, laid.segments))
        start = _start_from(model, variables, source, capacity, segments=segments, look=look)
    else:
        batch = len(laid.rows[target])
        start = apply(model, variables, batch, capacity, look=look, method="start")
    cache, arrays = start
    # Layers may share their empty arrays, which cannot be given away twice.
    return jax.tree.map(jnp.copy, cache), arrays


@functools.partial(jax.jit, static_argnames=("model", "capacity", "look"))
def _start_from(
    model: Any, variables: Any, source: Any, capacity: int, segments: Any, look: Look
) -> Any:
    options: Any = {"segments": segments, "look": look, "method": "start"}
    return apply(model, variables, source, capacity, **options)


# The cache is changed in place: copies of a long one would take most of the time.
@functools.partial(jax.jit, static_argnames=("model", "look"), donate_argnames=("cache",))
def _step(
    model: Any, variables: Any, cache: Cache, tokens: Any, is_token: Any, look: Look
) -> tuple[Cache, Arrays]:
    """Reads the next tokens."""
    options: Any = {"look": look, "method": "decode"}
    (output, cache), arrays = apply(model, variables, tokens, cache, is_token, **options)
    return cache, OrderedDict(**arrays, output=output)


class MovedHypotheses:
    """Hypotheses that move as in beam search, and what each of them has read.

    Rows are moved by NumPy here: the library moves only what its cache must move.

    Args:
        model: a module with `start` and `decode`.
        kind: of the module.
        laid: prompts without padding, one a row.
        steps: tokens [steps, rows * beam], which the hypotheses read one after the other.
        parents: [steps - 1, rows, beam], the hypothesis that each one continues after a step.
    """

    def __init__(self, model: Any, kind: Kind, laid: Laid, steps: np.ndarray, parents: np.ndarray):
        self.model, self.kind, self.laid = model, kind, laid
        self.steps, self.parents = steps, parents
        self.beam = parents.shape[2]

    def sequences(self) -> dict[str, list[np.ndarray]]:
        """The tokens of every hypothesis at the end, by side."""
        tokens = np.repeat(self.laid.rows[self.kind.sides[-1]], self.beam, axis=0)
        for index, new in enumerate(self.steps):
            tokens = np.concatenate([tokens, new[:, None]], axis=1)
            if index < len(self.parents):
                tokens = tokens[self._rows(index)]
        found = {side: np.repeat(x, self.beam, axis=0) for side, x in self.laid.rows.items()}
        return {side: list(x) for side, x in (found | {self.kind.sides[-1]: tokens}).items()}

    def run(self, variables: Any, look: Look) -> Arrays:
        """Reads the prompts and the steps; returns the arrays of every hypothesis."""
        prompt = self.laid.rows[self.kind.sides[-1]]
        batch, width = prompt.shape
        capacity = width + len(self.steps) + SPARE
        cache, start = _start(self.model, self.kind, variables, self.laid, capacity, look)

        def step(cache: Cache, tokens: np.ndarray) -> tuple[Cache, Arrays]:
            given = jnp.asarray(tokens), jnp.ones(tokens.shape, bool)
            return _step(self.model, variables, cache, *given, look=look)

        cache, arrays = step(cache, prompt)
        cache, parts = repeat_history(cache, self.beam), [self._repeated(arrays)]
        # Which member of an example wrote a position of a hypothesis.
        own = np.tile(np.arange(self.beam), batch)[:, None].repeat(capacity, axis=1)
        writers = own
        for index, new in enumerate(self.steps):
            cache, arrays = step(cache, new[:, None])
            parts.append(OrderedDict((n, self._by_row(n, x, writers)) for n, x in arrays.items()))
            if index < len(self.parents):
                cache = reorder_history(cache, jnp.asarray(self.parents[index]))
                rows, filled = self._rows(index), np.arange(capacity) < width + index + 1
                parts = [OrderedDict((n, x[rows]) for n, x in part.items()) for part in parts]
                writers = np.where(filled, writers[rows], own)
        return OrderedDict(**self._repeated(start), **side_by_side(parts))

    def _repeated(self, arrays: Arrays) -> Arrays:
        """Gives every hypothesis the arrays of its example."""
        return OrderedDict((n, np.repeat(x, self.beam, axis=0)) for n, x in arrays.items())

    def _rows(self, index: int) -> np.ndarray:
        """The row that each hypothesis continues."""
        batch = self.parents.shape[1]
        return (self.beam * np.arange(batch)[:, None] + self.parents[index]).ravel()

    def _by_row(self, name: str, array: Any, writers: np.ndarray) -> np.ndarray:
        """Gives every hypothesis its part of an array in which members share keys and values.

        Keys of members are [capacity * members]; a hypothesis gets those of the writers.
        """
        array, rows = np.asarray(array), len(writers)
        if array.shape[0] == rows:
            return array
        axis = query_axis(name)
        split = array.reshape(*array.shape[:axis], self.beam, -1, *array.shape[axis + 1 :])
        array = np.moveaxis(split, axis, 1)
        array = array.reshape(rows, *array.shape[2:])
        if axis == 1 or "self_attention" not in name:
            return array
        by_writer = array.reshape(*array.shape[:3], -1, self.beam)
        chosen = writers[:, None, None, :, None]
        return np.take_along_axis(by_writer, chosen, axis=-1)[..., 0]
