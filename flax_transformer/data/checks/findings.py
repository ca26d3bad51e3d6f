"""What an examination finds: kinds of faults, and where they are."""

import dataclasses
from typing import Any, NamedTuple

SERIOUS, WARNING, NOTE = "serious", "warning", "note"
SEVERITIES = (SERIOUS, WARNING, NOTE)
SHOWN = 3  # places of a finding
WIDTH = 60  # characters of a text that are shown


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        name: one word, for programs.
        severity: serious if a training is refused or scores are wrong; warning if a model becomes
            worse; note if the fault is usually harmless.
        what: the fault in plain words.
        advice: what to do about it.
        serious_share: share of the examples above which the fault is serious.
    """

    name: str
    severity: str
    what: str
    advice: str
    serious_share: float = 1.0


class Place(NamedTuple):
    """One place of a fault.

    Attributes:
        number: of the line or the example, from 1; 0 if the fault has no number.
        texts: the shortened texts there.
        note: more about this place.
    """

    number: int
    texts: tuple[str, ...]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """A kind of fault in one file or one part of the data.

    Attributes:
        kind: of the fault.
        where: path of the file, or name of the part: train, validation or test.
        unit: what the numbers of the places count: line, pair, sentence, example.
        count: number of faulty ones.
        total: number of all.
        places: the first few.
    """

    kind: Kind
    where: str
    unit: str
    count: int
    total: int
    places: tuple[Place, ...]

    @property
    def share(self) -> float:
        """Share of the faulty ones, 0 to 1."""
        return self.count / max(self.total, 1)

    @property
    def severity(self) -> str:
        """Severity of the kind, or serious if the share is large."""
        return SERIOUS if self.share > self.kind.serious_share else self.kind.severity

    def to_json(self) -> dict[str, Any]:
        """Returns the finding as plain data."""
        return {
            "check": self.kind.name,
            "severity": self.severity,
            "where": self.where,
            "what": self.kind.what,
            "advice": self.kind.advice,
            "unit": self.unit,
            "count": self.count,
            "total": self.total,
            "share": self.share,
            "places": [place._asdict() for place in self.places],
        }


class Tally:
    """Counts the faults of one kind, and keeps the first few places."""

    def __init__(self, kind: Kind):
        self.kind, self.count = kind, 0
        self.places: list[Place] = []

    def add(self, number: int, text: str, at: int = 0, note: str = "") -> None:
        """Counts a fault at a character of a text."""
        self.count += 1
        if len(self.places) < SHOWN:
            self.places.append(Place(number, (shorten(text, at),), note))

    def finding(self, where: str, unit: str, total: int) -> Finding:
        """Returns what was counted."""
        return Finding(self.kind, where, unit, self.count, total, tuple(self.places))


def shorten(text: str, at: int = 0) -> str:
    """Returns the part of a text around a character, at most WIDTH characters and two ellipses.

    Example:
        >>> shorten("a" * 100 + "b", 100)
        '…aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'
        >>> shorten("short", 3)
        'short'
    """
    start = 0 if at < WIDTH else at - WIDTH // 2
    part = text[start : start + WIDTH]
    return "…" * (start > 0) + part + "…" * (start + WIDTH < len(text))
