"""Runs that return the arrays of each sequence, wherever its tokens were."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.inspection.cached_runs import run_cached
from flax_transformer.inspection.first_difference import Run
from flax_transformer.inspection.proof_inputs import Inputs, OnDevices, Subject
from flax_transformer.inspection.proof_places import Laid, Place, cut, lay_padded
from flax_transformer.inspection.proof_runs import OUTPUT, Arrays, Look, run_whole

SPARE = 2  # places of padding in the longest row
Method = str | Callable[..., Any]


def run_alone(
    subject: Subject, sides: Mapping[str, Sequence[np.ndarray]], method: Method | None = None
) -> Run:
    """Runs every sequence without padding; only those of equal lengths are together.

    Args:
        subject: the model.
        sides: sequences of each side.
        method: computes the output; that of the subject if not given.
    """
    kind = subject.kind
    lengths = list(zip(*([len(x) for x in sides[side]] for side in kind.sides), strict=True))

    def run(variables: Any, look: Look) -> list[Arrays]:
        results: dict[int, Arrays] = {}
        for of_sides in dict.fromkeys(lengths):
            same = [i for i, other in enumerate(lengths) if other == of_sides]
            rows = {side: np.stack([sides[side][i] for i in same]) for side in kind.sides}
            arrays = _run(subject, variables, rows, None, look, method)
            for row, i in enumerate(same):
                sizes = zip(kind.sides, of_sides, strict=True)
                results[i] = cut(arrays, kind, {side: Place(row, 0, n) for side, n in sizes})
        return [results[i] for i in range(len(lengths))]

    return run


def run_laid(subject: Subject, laid: Laid, method: Method | None = None) -> Run:
    """Runs sequences that are laid into rows.

    Args:
        subject: the model.
        laid: the sequences.
        method: computes the output; that of the subject if not given.
    """

    def run(variables: Any, look: Look) -> list[Arrays]:
        arrays = _run(subject, variables, laid.rows, laid.segments, look, method)
        return [cut(arrays, subject.kind, place) for place in laid.places]

    return run


def run_steps(subject: Subject, laid: Laid, sizes: Sequence[int]) -> Run:
    """Runs sequences in steps, with a cache.

    Args:
        subject: the model.
        laid: the sequences, one in each row.
        sizes: tokens of each step.
    """

    def run(variables: Any, look: Look) -> list[Arrays]:
        arrays = run_cached(subject.model, subject.kind, variables, laid, sizes, look)
        return [cut(arrays, subject.kind, place) for place in laid.places]

    return run


def run_on_devices(subject: Subject, laid: Laid, on_devices: OnDevices) -> Run:
    """Runs sequences that are laid into rows on several devices.

    Args:
        subject: the model.
        laid: the sequences; their rows are a multiple of the devices.
        on_devices: a way of `Subject.ways`.
    """

    def run(variables: Any, look: Look) -> list[Arrays]:
        def of_rows(variables: Any, given: Any) -> Arrays:
            rows, segments = given
            return _run_whole(subject, variables, rows, segments, look)

        arrays = on_devices(of_rows)(variables, (laid.rows, laid.segments))
        return [cut(arrays, subject.kind, place) for place in laid.places]

    return run


def padded_sequences(inputs: Inputs) -> dict[str, list[np.ndarray]]:
    """Draws sequences of different lengths that leave places for padding in every row."""
    longer = inputs.length - SPARE
    return inputs.sequences(longer, -(-longer // 2))


def in_rows(inputs: Inputs) -> Laid:
    """Lays sequences into rows, padded on the right; a picture is one row."""
    if inputs.subject.kind.segments:
        return lay_padded(padded_sequences(inputs), SPARE)
    ((side, pictures),) = inputs.pixels().items()
    places = [{side: Place(row, 0, 1)} for row in range(len(pictures))]
    return Laid({side: pictures}, {}, places)


def method_of_tokens(subject: Subject) -> Method:
    """Returns the method of the subject if it gives an output for each token, else the call."""
    one = {side: np.zeros((1, 1), np.int32) for side in subject.kind.sides}
    shapes = jax.eval_shape(
        lambda v: _run_whole(subject, v, one, None, "nothing"), subject.variables
    )
    return subject.method if shapes[OUTPUT].ndim > 2 else "__call__"


def _run(
    subject: Subject,
    variables: Any,
    rows: Any,
    segments: Any,
    look: Look,
    method: Method | None = None,
) -> Arrays:
    return jax.device_get(_run_whole(subject, variables, rows, segments, look, method))


def _run_whole(
    subject: Subject,
    variables: Any,
    rows: Any,
    segments: Any,
    look: Look,
    method: Method | None = None,
) -> Arrays:
    model, kind, method = subject.model, subject.kind, method or subject.method
    # Without jit, nothing else makes arrays of the device of them.
    variables, rows, segments = jax.tree.map(jnp.asarray, (variables, rows, segments or None))
    return run_whole(model, kind, variables, rows, segments, look=look, method=method)
