"""Runs the proofs of a model at several lengths, and says what was found."""

from typing import Any, NamedTuple

from flax_transformer.inspection.first_difference import Verdict, compare
from flax_transformer.inspection.proof_inputs import Inputs, Subject
from flax_transformer.inspection.proofs import PROOFS

MULTIPLES = (1, 2, 4)
LEAST_LENGTH = 4  # rows with two sequences and padding


class Finding(NamedTuple):
    """The result of one comparison, or the reason why a proof was not made.

    Attributes:
        proof: name in `PROOFS`.
        length: of the rows, in tokens; None for images and videos, or if no length applies.
        way: which of the proof's comparisons; "" without one.
        verdict: of the comparison; None without one.
        reason: why there is none; "" if there is one.
    """

    proof: str
    length: int | None
    way: str = ""
    verdict: Verdict | None = None
    reason: str = ""

    def describe(self) -> str:
        """Describes the result in one line.

        Example:
            >>> Finding("padding", 8, "on the left", Verdict(3.21e-7)).describe()
            'equal, largest difference 3.2e-07'
        """
        if self.verdict is None:
            return f"not applicable: {self.reason}"
        difference, _, rounding, first = self.verdict
        if self.verdict.is_equal:
            by_rounding = (
                f"; the last bit of the weights changes {rounding:.1e}" if rounding else ""
            )
            return f"equal, largest difference {difference:.1e}{by_rounding}"
        found = f"DIFFERS by {difference:.1e}, {self.way}"
        if first is None:
            return (
                f"{found}: no activation differs while all are collected, so a kernel is at fault"
            )
        at = "" if first.position is None else f", position {first.position:,}"
        return f"{found}: first difference at {first.activation}{at}"

    def to_json(self) -> dict[str, Any]:
        """Returns the finding as plain data."""
        plain = {name: value for name, value in self._asdict().items() if name != "verdict"}
        if self.verdict is None:
            return plain | {"is_equal": None}
        first = self.verdict.first
        return (
            plain
            | {"is_equal": self.verdict.is_equal}
            | self.verdict._asdict()
            | {"first": first and first._asdict()}
        )


def make_plan(subject: Subject, length: int) -> list[tuple[str, int | None]]:
    """Lists the proofs of a model, each with the lengths at which it is made.

    Args:
        subject: the model.
        length: of its training, in tokens; twice and four times as many follow.

    Returns:
        (name in `PROOFS`, length): one None for images, videos and proofs that do not apply.
    """
    lengths = [multiple * length for multiple in MULTIPLES] if subject.kind.segments else [None]
    return [
        (name, tokens)
        for name, proof in PROOFS.items()
        for tokens in ([None] if proof.lacks(subject) else lengths)
    ]


def examine(subject: Subject, proof: str, length: int | None, seed: int = 0) -> list[Finding]:
    """Makes a proof at one length.

    Args:
        subject: the model.
        proof: name in `PROOFS`.
        length: of the rows, in tokens; None for images and videos.
        seed: of the inputs.

    Returns:
        A finding for each comparison.
    """
    if reason := PROOFS[proof].lacks(subject):
        return [Finding(proof, length, reason=reason)]
    if length is not None and subject.limit is not None and length > subject.limit:
        reason = f"learned positions end at {subject.limit:,}"
        return [Finding(proof, length, reason=reason)]
    inputs = Inputs(subject, length or 1, seed)
    return [
        Finding(proof, length, comparison.name, compare(comparison, subject.variables))
        for comparison in PROOFS[proof].comparisons(subject, inputs)
    ]


def worst(findings: list[Finding]) -> Finding:
    """Returns the finding of one proof at one length that says most: the largest difference."""

    def rank(finding: Finding) -> tuple[bool, float]:
        verdict = finding.verdict
        if verdict is None:
            return False, 0.0
        # What is not a number compares with nothing.
        return not verdict.is_equal, verdict.difference if verdict.difference >= 0 else float("inf")

    return max(findings, key=rank)
