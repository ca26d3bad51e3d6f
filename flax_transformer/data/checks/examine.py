"""Examines the parts of some data: every check, in a few passes of bounded memory."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.data.checks.class_counts import check_classes
from flax_transformer.data.checks.examined import PAIR, TRAIN, Part
from flax_transformer.data.checks.file_lines import check_lines
from flax_transformer.data.checks.findings import (
    SERIOUS,
    SEVERITIES,
    SHOWN,
    Finding,
    Kind,
    Place,
    shorten,
)
from flax_transformer.data.checks.measured import Measured, blocks, measure
from flax_transformer.data.checks.row_checks import Found, check_overlap, check_rows
from flax_transformer.data.checks.swapped import (
    SWAPPED,
    find_swapped,
    learn_spelling,
    tells_apart,
)
from flax_transformer.data.checks.token_checks import TokenChecks
from flax_transformer.data.files.text_files import read_encoded_lines
from flax_transformer.errors import UserError

UNREADABLE = Kind(
    "unreadable",
    SERIOUS,
    "data that cannot be read to the end",
    "fix this first: a training stops here, and the other checks need the whole part",
)
Tokens = Mapping[str, Sequence[TokenChecks]]
"""Kind of data -> checks of the first and of the second texts."""
Watch = Callable[[str, Iterable[Any]], Iterator[Any]]
"""(title, items) -> the same items, while progress is shown."""


class Report(NamedTuple):
    """The result of an examination.

    Attributes:
        findings: the serious ones first.
        measured: the parts that were read to the end, by name.
        notes: checks that were left out, and why.
    """

    findings: list[Finding]
    measured: dict[str, Measured]
    notes: list[str]

    @property
    def is_serious(self) -> bool:
        """Whether anything serious was found."""
        return any(finding.severity == SERIOUS for finding in self.findings)


def examine(
    parts: Sequence[Part],
    files: Iterable[Path] = (),
    tokens: Tokens = MappingProxyType({}),
    watch: Watch = lambda title, items: iter(items),
) -> Report:
    """Runs all checks.

    Files are read once as bytes, every part once for some numbers of each example, pairs again for
    swapped sides, and the beginning of a part again for the texts to show.

    Args:
        parts: of the data; the others are compared with the part train.
        files: the user's own files of all parts.
        tokens: checks of the tokens.
        watch: shows progress.
    """
    findings, measured = list[Finding](), dict[str, Measured]()
    for path in dict.fromkeys(files):
        with _reported(str(path), findings):
            lines = watch(f"bytes of {path.name}", read_encoded_lines(path))
            findings += check_lines(str(path), lines)
    for part in parts:
        with _reported(part.name, findings):
            examples = watch(part.name, part.read())
            measured[part.name] = measure(part, examples, tokens.get(part.kind, ()))
    train, notes = measured.get(TRAIN), list[str]()
    if TRAIN not in measured and any(part.name == TRAIN for part in parts):
        notes.append("overlap, order of the sides, classes: train cannot be read")
    weights = _spelling(train, notes)
    for name, one in measured.items():
        found = list(check_rows(one))
        other = None if name == TRAIN else train
        found += [] if other is None else check_overlap(one, other)
        if weights is not None and one.part.kind == PAIR:
            found.append(_check_order(one.part, weights, watch))
        findings += [*one.characters, *_show(one, found, tokens.get(one.part.kind, ()))]
        findings += check_classes(one.classes, name, other and other.classes)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Report(findings, measured, notes)


@contextlib.contextmanager
def _reported(where: str, findings: list[Finding]) -> Iterator[None]:
    """Makes a finding of a mistake in the data that ends their reading."""
    try:
        yield
    except UserError as error:
        place = Place(0, (), str(error))
        if not any(place in finding.places for finding in findings):
            findings.append(Finding(UNREADABLE, where, "part", 1, 1, (place,)))


def _spelling(train: Measured | None, notes: list[str]) -> np.ndarray | None:
    """The spelling of the two languages, if it is different enough."""
    if train is None or train.part.kind != PAIR:
        return None
    sides = [[example.texts[side] for example in train.sample] for side in (0, 1)]
    if tells_apart(*sides):
        return learn_spelling(*sides)
    notes.append("order of the sides: the spelling of the two sides is too similar")
    return None


def _check_order(part: Part, weights: np.ndarray, watch: Watch) -> Found:
    found, start = [np.zeros(0, np.int64)], 0
    for block in blocks(watch(f"order of {part.name}", part.read())):
        sides = ([example.texts[side] for example in block] for side in (0, 1))
        found.append(start + find_swapped(weights, *sides))
        start += len(block)
    return Found(SWAPPED, np.concatenate(found))


def _show(
    measured: Measured, found: Iterable[Found], tokens: Sequence[TokenChecks]
) -> Iterator[Finding]:
    """Reads the first few examples of every fault again, and makes the findings."""
    part, rows, _, _, _ = measured
    found = [one for one in found if len(one.indices)]
    wanted = {int(index) for one in found for index in one.indices[:SHOWN]}
    texts = {}
    if wanted:
        read = zip(range(max(wanted) + 1), part.read(), strict=False)
        texts = {index: example.texts for index, example in read if index in wanted}
    for kind, indices, notes in found:
        places = []
        for number, index in enumerate(indices[:SHOWN].tolist()):
            shown = [
                shorten(text, tokens[side].first_fault(text, kind) if side < len(tokens) else 0)
                for side, text in enumerate(texts[index])
            ]
            note = notes[number] if notes else ""
            places.append(Place(int(rows.numbers[index]), tuple(shown), note))
        total = len(rows.numbers)
        yield Finding(kind, part.name, part.unit, len(indices), total, tuple(places))
