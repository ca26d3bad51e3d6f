"""Runs the proofs of a model at several lengths, and says what was found."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from flax_transformer.errors import UserError
from flax_transformer.inspection.first_difference import Verdict, compare
from flax_transformer.inspection.proof_inputs import Inputs, Subject
from flax_transformer.inspection.proofs import PROOFS, find_proof

MULTIPLES = (1, 2, 4)
LEAST_LENGTH = 4  # rows with two sequences and padding


class Finding(NamedTuple):
    """The result of one comparison.

    Attributes:
        proof: name of one of `PROOFS`.
        length: of the rows, in tokens; None for images and videos.
        way: which of the proof's comparisons.
        verdict: of the comparison.
    """

    proof: str
    length: int | None
    way: str
    verdict: Verdict

    def describe(self) -> str:
        """Describes the result in one line.

        Example:
            >>> Finding("padding", 8, "on the left", Verdict(3.21e-7)).describe()
            'equal, largest difference 3.2e-07'
        """
        difference, _, rounding, first = self.verdict
        if self.verdict.is_equal:
            by_rounding = (
                f"; the last bit of the weights changes {rounding:.1e}" if rounding else ""
            )
            return f"equal, largest difference {difference:.1e}{by_rounding}"
        found = f"DIFFERS by {difference:.1e}, {self.way}"
        if first is None:
            return f"{found}: no activation differs while they are looked at"
        at = "" if first.position is None else f", position {first.position:,}"
        return f"{found}: first difference at {first.activation}{at}"

    def to_json(self) -> dict[str, Any]:
        """Returns the finding as plain data; what is not a number becomes None."""
        verdict = self.verdict
        first = verdict.first and _finite(verdict.first._asdict())
        plain = {"proof": self.proof, "length": self.length, "way": self.way}
        return (
            plain | {"is_equal": verdict.is_equal} | _finite(verdict._asdict()) | {"first": first}
        )


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """Replaces numbers that JSON does not have by None."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in fields.items()
    }


class Plan(NamedTuple):
    """What is to be examined.

    Attributes:
        lengths: of rows, in tokens; [None] for images and videos, whose size is fixed.
        left_out: longer ones, which the model cannot read.
        reason: why it cannot; "" if none are left out.
        proofs: names of those of `PROOFS` that apply.
        not_applicable: names of the others, and why they do not apply.
    """

    lengths: list[int | None]
    left_out: list[int]
    reason: str
    proofs: list[str]
    not_applicable: dict[str, str]

    def items(self) -> list[tuple[str, int | None]]:
        """Lists each proof with each length."""
        return [(proof, length) for proof in self.proofs for length in self.lengths]


def make_plan(subject: Subject, length: int) -> Plan:
    """Chooses what to examine of a model.

    Args:
        subject: the model.
        length: of its training, in tokens; twice and four times as many follow, if it reads them.

    Raises:
        UserError: if the model does not read as many as its training had.
    """
    lengths: list[int | None] = [None]
    left_out, limit = [], subject.limit
    if subject.kind.segments:
        multiples = [multiple * length for multiple in MULTIPLES]
        left_out = [] if limit is None else [tokens for tokens in multiples if tokens > limit]
        lengths = [tokens for tokens in multiples if tokens not in left_out]
    reason = f"learned positions end at {limit:,}" if left_out else ""
    if not lengths:
        raise UserError(f"--length {length} is too long, as {reason}: give at most that")
    lacks = {proof.name: proof.lacks(subject) for proof in PROOFS}
    return Plan(
        lengths,
        left_out,
        reason,
        [name for name, reason in lacks.items() if not reason],
        {name: reason for name, reason in lacks.items() if reason},
    )


def examine(subject: Subject, proof: str, length: int | None, seed: int = 0) -> list[Finding]:
    """Makes a proof that applies to the model, at one length.

    Args:
        subject: the model.
        proof: name of one of `PROOFS`.
        length: of the rows, in tokens; None for images and videos.
        seed: of the inputs.

    Returns:
        A finding for each comparison.
    """
    inputs = Inputs(subject, length or 1, seed)
    return [
        Finding(proof, length, comparison.name, compare(comparison, subject.variables))
        for comparison in find_proof(proof).comparisons(subject, inputs)
    ]


def worst(findings: Sequence[Finding]) -> Finding:
    """Returns the finding that says most: one that differs, or the largest difference."""

    def rank(finding: Finding) -> tuple[bool, float]:
        difference = finding.verdict.difference
        # What is not a number compares with nothing.
        return not finding.verdict.is_equal, difference if difference >= 0 else math.inf

    return max(findings, key=rank)
