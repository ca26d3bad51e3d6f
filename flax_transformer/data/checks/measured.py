"""One pass over a part of the data: a few numbers for every example."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from flax_transformer.data.checks.characters import KINDS, find_characters
from flax_transformer.data.checks.examined import TEXT, Example, Part
from flax_transformer.data.checks.findings import Finding, Tally
from flax_transformer.data.checks.repeated import normalize
from flax_transformer.data.checks.token_checks import TokenChecks

BLOCK_SIZE = 4_096  # examples
SAMPLE_SIZE = 20_000  # examples from which the spelling of the languages is learned
LEAST_COMPARED = 40  # characters of a line of plain text: shorter ones are repeated naturally


class Rows(NamedTuple):
    """What is kept of every example: 45 bytes.

    Attributes:
        numbers: of the lines or examples.
        sources: characters of the first texts, without blanks at the ends.
        targets: characters of the second texts; 0 without one.
        keys: hashes of the first texts.
        wholes: hashes of all texts and classes.
        normalized: hashes of the normalized texts and the classes.
        is_identical: whether both texts are the same.
        is_compared: whether repetitions of the example are faults.
        is_unknown: whether the tokenizer does not know a part of it.
        is_spelled: whether the tokenizer spells a character in bytes.
        is_long: whether a text has too many tokens.
    """

    numbers: Int[np.ndarray, " examples"]
    sources: Int[np.ndarray, " examples"]
    targets: Int[np.ndarray, " examples"]
    keys: Int[np.ndarray, " examples"]
    wholes: Int[np.ndarray, " examples"]
    normalized: Int[np.ndarray, " examples"]
    is_identical: Bool[np.ndarray, " examples"]
    is_compared: Bool[np.ndarray, " examples"]
    is_unknown: Bool[np.ndarray, " examples"]
    is_spelled: Bool[np.ndarray, " examples"]
    is_long: Bool[np.ndarray, " examples"]


class Measured(NamedTuple):
    """What one pass finds.

    Attributes:
        part: that was read.
        rows: numbers of all examples.
        classes: name -> number of examples, and number of the first one.
        sample: evenly spaced examples.
        characters: findings of characters, unless the part has files, whose lines are checked.
    """

    part: Part
    rows: Rows
    classes: dict[str, tuple[int, int]]
    sample: list[Example]
    characters: list[Finding]


def measure(
    part: Part, examples: Iterable[Example], tokens: Sequence[TokenChecks] = ()
) -> Measured:
    """Reads all examples of a part once.

    Args:
        part: the part.
        examples: its examples.
        tokens: checks of the first and of the second texts; none without a tokenizer.
    """
    tallies = {} if part.files else {kind: Tally(kind) for kind in KINDS}
    classes: dict[str, tuple[int, int]] = {}
    sample, stride, number = list[Example](), 1, 0
    rows = [_rows(part.kind, [], tokens)]
    for block in blocks(examples):
        rows.append(_rows(part.kind, block, tokens))
        _tally_characters(tallies, block)
        for example in block:
            for name in example.classes:
                count, first = classes.get(name, (0, example.number))
                classes[name] = count + 1, first
        sample += block[-number % stride :: stride]
        number += len(block)
        while len(sample) > SAMPLE_SIZE:
            sample, stride = sample[::2], 2 * stride
    found = [tally.finding(part.name, part.unit, number) for tally in tallies.values()]
    return Measured(
        part,
        Rows(*map(np.concatenate, zip(*rows, strict=True))),
        classes,
        sample,
        [finding for finding in found if finding.count],
    )


def blocks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Divides examples into blocks, in order."""
    examples = iter(examples)
    while block := list(itertools.islice(examples, BLOCK_SIZE)):
        yield block


def _rows(kind: str, block: list[Example], tokens: Sequence[TokenChecks]) -> Rows:
    """The numbers of some examples."""
    first, second = (
        [e.texts[side] if side < len(e.texts) else "" for e in block] for side in (0, 1)
    )
    least = LEAST_COMPARED if kind == TEXT else 1
    first, second = ([text.strip() for text in side] for side in (first, second))
    sources, targets = (np.array(list(map(len, side)), np.int32) for side in (first, second))
    columns = {
        "numbers": [example.number for example in block],
        "sources": sources,
        "targets": targets,
        "keys": list(map(hash, first)),
        "wholes": [hash((e.texts, e.classes)) for e in block],
        "normalized": [hash((tuple(map(normalize, e.texts)), e.classes)) for e in block],
        "is_identical": [a == b != "" for a, b in zip(first, second, strict=True)],
        "is_compared": np.maximum(sources, targets) >= least,
    }
    faults = [check.check(side) for check, side in zip(tokens, (first, second), strict=False)]
    for name in ("is_unknown", "is_spelled", "is_long"):
        of_sides = [np.zeros(len(block), bool), *(getattr(found, name) for found in faults)]
        columns[name] = np.any(of_sides, axis=0)
    return Rows(**{name: np.asarray(values, _TYPES[name]) for name, values in columns.items()})


_TYPES = {
    name: np.int64 if name in ("numbers", "keys", "wholes", "normalized") else np.int32
    for name in Rows._fields
} | {name: np.bool_ for name in Rows._fields if name.startswith("is_")}


def _tally_characters(tallies: dict, block: list[Example]) -> None:
    if tallies:
        for example in block:
            for text in example.texts:
                for kind, at in find_characters(text):
                    tallies[kind].add(example.number, text, at)
