"""Comparison of programs with the model that they were made of."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from flax_transformer.interchange.programs.model_programs import (
    DECODE,
    ENCODE,
    NEW,
    Arrays,
    Program,
    Runner,
)

ROWS, LENGTH, STEPS = 3, 11, 16
# Two largest logits that are nearer than this, relative to the largest one, may change places.
TIE = 1e-5


class Comparison(NamedTuple):
    """How far two systems agree.

    Attributes:
        difference: largest difference of an output, divided by its largest number.
        num_equal: how many of the largest logits are those of the same token or class.
        number: how many there are.
    """

    difference: float
    num_equal: int
    number: int


def compare(
    programs: Mapping[str, Program],
    own: Runner,
    other: Runner,
    *,
    vocab_size: int = 0,
    limit: int | None = None,
) -> Comparison:
    """Runs two systems on random inputs; a model that writes texts writes them greedily.

    Args:
        programs: of the model.
        own: runs the model itself.
        other: runs the programs as another system does.
        vocab_size: number of tokens of a model of texts.
        limit: number of tokens that it can read, at most.
    """
    draw = np.random.default_rng(0)
    length = min(LENGTH, limit or LENGTH)
    if DECODE in programs:
        pairs = _decoded(programs, own, other, draw, vocab_size, length, limit)
    else:
        ((name, program),) = programs.items()
        inputs = _inputs(program, draw, vocab_size, length)
        pairs = iter([(own(name, inputs), other(name, inputs))])
    difference, num_equal, number = 0.0, 0, 0
    for ours, theirs in pairs:
        for name in ours:
            difference = max(difference, _difference(ours[name], theirs[name]))
        if "logits" in ours:
            equal = _same_choices(np.asarray(ours["logits"]), np.asarray(theirs["logits"]))
            num_equal, number = num_equal + int(equal.sum()), number + equal.size
    return Comparison(difference, num_equal, number)


def _decoded(
    programs: Mapping[str, Program],
    own: Runner,
    other: Runner,
    draw: np.random.Generator,
    vocab_size: int,
    length: int,
    limit: int | None,
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields the outputs of an encoder, if there is one, and of each step.

    Both systems read the tokens that ours writes, each from its own cache.
    """
    steps = min(STEPS, (limit or STEPS + length) - length + 1)
    kinds = {name: programs[DECODE].inputs[name] for name in programs[DECODE].cache}
    sizes = {"batch": ROWS, "capacity": length + steps - 1}
    zeros = {name: np.zeros(kind.shape(sizes), kind.dtype) for name, kind in kinds.items()}
    memories: tuple[Arrays, Arrays] = ({}, {})
    # The first tokens of a translation are marks, those of other texts a prompt with padding.
    tokens = draw.integers(vocab_size, size=(ROWS, 1 if ENCODE in programs else length))
    is_token = np.ones(tokens.shape, bool)
    if ENCODE in programs:
        inputs = _inputs(programs[ENCODE], draw, vocab_size, length)
        memories = own(ENCODE, inputs), other(ENCODE, inputs)
        yield memories
    else:
        is_token[1, : length // 2] = False
    caches = (zeros, zeros)
    for _ in range(steps):
        read = {"tokens": tokens.astype(np.int32), "is_token": is_token}
        ours = dict(own(DECODE, {**read, **caches[0], **memories[0]}))
        theirs = dict(other(DECODE, {**read, **caches[1], **memories[1]}))
        caches = tuple({name: found[NEW + name] for name in kinds} for found in (ours, theirs))
        last = [{"logits": np.asarray(found["logits"])[:, -1]} for found in (ours, theirs)]
        yield last[0], last[1]
        tokens = last[0]["logits"].argmax(axis=-1)[:, None]
        is_token = np.ones(tokens.shape, bool)


def _inputs(
    program: Program, draw: np.random.Generator, vocab_size: int, length: int
) -> dict[str, np.ndarray]:
    """Draws the inputs of a program that reads whole texts, images or videos."""
    inputs = {}
    for name, kind in program.inputs.items():
        lengths = {"batch": ROWS, "length": length, "source_length": length}
        drawn = draw.integers(vocab_size or 256, size=kind.shape(lengths))
        inputs[name] = drawn.astype(kind.dtype)
    if "segments" in inputs:
        inputs["segments"] = np.ones_like(inputs["segments"])
        inputs["segments"][1, length // 2 + 1 :] = 0
    return inputs


def _difference(ours: Any, theirs: Any) -> float:
    ours, theirs = (np.asarray(array, np.float64) for array in (ours, theirs))
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return float("inf")
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), np.finfo(float).tiny))


def _same_choices(
    ours: Float[np.ndarray, "*batch choices"], theirs: Float[np.ndarray, "*batch choices"]
) -> np.ndarray:
    """Whether the largest logit is that of the same token or class, or of one as good."""
    return is_as_good(ours, theirs.argmax(axis=-1))


def is_as_good(
    logits: Float[np.ndarray, "*batch choices"], chosen: Int[np.ndarray, "*batch"]
) -> Bool[np.ndarray, "*batch"]:
    """Returns whether the logit of a choice is the largest, or as good; see `TIE`.

    Args:
        logits: of all choices; minus infinity for what cannot be chosen.
        chosen: numbers of choices.
    """
    found = np.take_along_axis(logits, chosen[..., None], axis=-1)[..., 0]
    scale = np.abs(np.where(np.isfinite(logits), logits, 0)).max(axis=-1)
    return found >= logits.max(axis=-1) - TIE * scale
