"""The proofs: each gives pairs of runs of a model that must give the same."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from flax_transformer.errors import UserError
from flax_transformer.functional.heads import attention_implementations
from flax_transformer.functional.kernels import formulas_only
from flax_transformer.inspection.cached_runs import MovedHypotheses
from flax_transformer.inspection.first_difference import Comparison
from flax_transformer.inspection.proof_inputs import Inputs, Subject
from flax_transformer.inspection.proof_places import Place, cut, lay_packed, lay_padded
from flax_transformer.inspection.proof_runs import Arrays, Look
from flax_transformer.inspection.sequence_runs import (
    SPARE,
    in_rows,
    method_of_tokens,
    padded_sequences,
    run_alone,
    run_laid,
    run_on_devices,
    run_steps,
)
from flax_transformer.models.stacking import stack_layers

BEAM, MOVES, PIECE = 3, 3, 3


class Proof(NamedTuple):
    """One of the ways in which a model must compute the same.

    Attributes:
        name: of the proof.
        claim: what equals what, in one line.
        lacks: of a subject, why the proof does not apply to its kind of model; "" if it does.
        comparisons: (subject, its inputs) -> pairs of runs.
    """

    name: str
    claim: str
    lacks: Callable[[Subject], str]
    comparisons: Callable[[Subject, Inputs], Iterator[Comparison]]


def cached_decoding(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Reads the long sequences with a cache, token by token and in pieces."""
    sides, length = _longest(inputs), inputs.length
    laid, expected = lay_padded(sides, 0), run_alone(subject, sides)
    piece = min(PIECE, length - 1)
    number = max(1, length // (2 * PIECE))
    ways = {
        "token by token": [1] * length,
        "in pieces": [length - piece * number] + [piece] * number,
    }
    for name, sizes in ways.items():
        yield Comparison(name, expected, run_steps(subject, laid, sizes))


def padded_prompts(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Reads prompts that are padded on the left, and then token by token."""
    sides = padded_sequences(inputs)
    laid = lay_padded(sides, SPARE, to_the_left=True)
    steps = min(MOVES, inputs.length - SPARE - 1)
    actual = run_steps(subject, laid, [inputs.length - steps] + [1] * steps)
    yield Comparison("padded on the left", run_alone(subject, sides), actual)


def moved_hypotheses(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Moves hypotheses at random after each step, as a beam search does."""
    kind, target = subject.kind, subject.kind.sides[-1]
    steps, sides = min(MOVES, inputs.length - 1), _longest(inputs)
    sides[target] = [tokens[:-steps] for tokens in sides[target]]
    moved = MovedHypotheses(
        subject.model,
        kind,
        lay_padded(sides, 0),
        inputs.tokens(steps, 2 * BEAM),
        inputs.rng.integers(0, BEAM, (steps - 1, 2, BEAM)),
    )
    places = [
        {side: Place(row, 0, len(x[row])) for side, x in moved.sequences().items()}
        for row in range(2 * BEAM)
    ]

    def actual(variables: Any, look: Look) -> list[Arrays]:
        arrays = moved.run(variables, look)
        return [cut(arrays, kind, place) for place in places]

    yield Comparison(f"beam of {BEAM}", run_alone(subject, moved.sequences()), actual)


def packed_rows(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Packs two sequences into each row."""
    method = method_of_tokens(subject)
    room = inputs.length - SPARE
    sides = inputs.sequences(room - room // 2, room // 2)
    actual = run_laid(subject, lay_packed(sides, SPARE), method)
    yield Comparison("two a row", run_alone(subject, sides, method), actual)


def padding(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Pads sequences of different lengths on either side."""
    sides = padded_sequences(inputs)
    expected = run_alone(subject, sides)
    for name, to_the_left in (("on the right", False), ("on the left", True)):
        laid = lay_padded(sides, SPARE, to_the_left=to_the_left)
        yield Comparison(name, expected, run_laid(subject, laid))


def content_of_padding(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Fills padding with other tokens."""
    sides = padded_sequences(inputs)
    for name, to_the_left in (("on the right", False), ("on the left", True)):
        laid = lay_padded(sides, SPARE, to_the_left=to_the_left)
        others = {
            side: np.where(laid.segments[side] == 0, inputs.others(rows), rows)
            for side, rows in laid.rows.items()
        }
        actual = run_laid(subject, laid._replace(rows=others))
        yield Comparison(name, run_laid(subject, laid), actual)


def later_tokens(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Changes all tokens after a place, and looks at what is before it."""
    target, whole = subject.kind.sides[-1], in_rows(inputs)
    rows = whole.rows[target]
    ways: dict[str, Callable[[int], int]] = {
        "after the first half": lambda length: length // 2,
        "the last one": lambda length: length - 1,
    }
    for name, kept in ways.items():
        changed, places = rows.copy(), []
        for sides in whole.places:
            place = sides[target]
            row, end = place.row, place.start + place.length
            before = place._replace(length=kept(place.length))
            later = slice(before.start + before.length, end)
            changed[row, later] = inputs.others(rows[row, later])
            places.append(sides | {target: before})
        first = whole._replace(places=places)
        second = first._replace(rows=whole.rows | {target: changed})
        yield Comparison(name, run_laid(subject, first), run_laid(subject, second))


def scanned_layers(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Scans the layers."""
    laid = in_rows(inputs)
    scanned = _scanned(subject)
    run = run_laid(scanned, laid)
    period = subject.model.config.period()
    actual = lambda variables, look: run(stack_layers(variables, period), look)  # noqa: E731
    yield Comparison("scanned", run_laid(subject, laid), actual)


def devices(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Runs without compilation, and by each way of using several devices."""
    laid = in_rows(inputs)
    expected = run_laid(subject, laid)

    def uncompiled(variables: Any, look: Look) -> Sequence[Arrays]:
        with jax.disable_jit():
            return expected(variables, look)

    yield Comparison("without jit", expected, uncompiled)
    for name, on_devices in subject.ways.items():
        yield Comparison(name, expected, run_on_devices(subject, laid, on_devices))


def kernels(subject: Subject, inputs: Inputs) -> Iterator[Comparison]:
    """Runs each implementation of attention, with kernels, and the formulas only."""
    laid = in_rows(inputs)
    # With the variables of each result, so that their ids stay theirs.
    formulas: dict[Any, tuple[Any, Sequence[Arrays]]] = {}

    def expected(variables: Any, look: Look) -> Sequence[Arrays]:
        # Programs with formulas are compiled again each time.
        if (id(variables), look) not in formulas:
            with formulas_only():
                run = run_laid(_with_attention(subject, "xla"), laid)
                formulas[id(variables), look] = variables, run(variables, look)
        return formulas[id(variables), look][1]

    for name in attention_implementations():
        if name == "xla":
            continue
        try:
            actual = run_laid(_with_attention(subject, name), laid)
        except UserError:
            continue  # an implementation that does not compute in float32
        yield Comparison(name, expected, actual)


def _longest(inputs: Inputs) -> dict[str, list[np.ndarray]]:
    """Draws two sequences as long as the rows; their sources have half of the length."""
    drawn = inputs.sequences(inputs.length, -(-inputs.length // 2))
    return {side: sequences[:2] for side, sequences in drawn.items()}


def _is_causal(subject: Subject) -> str:
    return "" if subject.kind.is_causal else "the model reads in both directions"


def _decodes(subject: Subject) -> str:
    return "" if hasattr(subject.model, "decode") else "the model does not decode"


def _pads(subject: Subject) -> str:
    return "" if subject.kind.segments else "images and videos have no padding"


def _packs(subject: Subject) -> str:
    return "" if subject.kind.segments else "images and videos are not packed"


def _scanned(subject: Subject) -> Subject:
    config = dataclasses.replace(subject.model.config, scan_layers=True)
    return subject._replace(model=subject.model.clone(config=config))


def _with_attention(subject: Subject, implementation: str) -> Subject:
    config = subject.model.config
    config = dataclasses.replace(config, attention_implementation=implementation)
    return subject._replace(model=subject.model.clone(config=config))


def _scans(subject: Subject) -> str:
    try:
        jax.eval_shape(
            lambda variables: stack_layers(variables, subject.model.config.period()),
            subject.variables,
        )
    except ValueError as error:
        return f"the layers cannot be scanned: {error}"
    return ""


def _applies(_: Subject) -> str:
    return ""


PROOFS: tuple[Proof, ...] = (
    Proof("cached decoding", "with a cache = the full pass", _decodes, cached_decoding),
    Proof("padded prompts", "cached, padded on the left = the full pass", _decodes, padded_prompts),
    Proof(
        "moved hypotheses",
        "a beam that moved = the full pass over each",
        _decodes,
        moved_hypotheses,
    ),
    Proof("packed rows", "several sequences in a row = each by itself", _packs, packed_rows),
    Proof("padding", "padding on either side = no padding", _pads, padding),
    Proof("content of padding", "padding has no influence", _pads, content_of_padding),
    Proof("later tokens", "later tokens have no influence", _is_causal, later_tokens),
    Proof("scanned layers", "scanned = one layer after the other", _scans, scanned_layers),
    Proof("devices", "jit = no jit = pmap = mesh", _applies, devices),
    # The last one, as it discards all compiled programs.
    Proof("kernels", "kernels = formulas", _applies, kernels),
)


def find_proof(name: str) -> Proof:
    """Returns the proof of a name in `PROOFS`.

    Example:
        >>> find_proof("padding").claim
        'padding on either side = no padding'
    """
    return next(proof for proof in PROOFS if proof.name == name)
