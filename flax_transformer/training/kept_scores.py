"""The files of an evaluation in a workdir: its scores, and a line for each output."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.evaluation.report import Record, write_scores


class Evaluation(NamedTuple):
    """An evaluation as it is kept.

    Attributes:
        record: of the scores, as plain data; see `Record`.
        outputs: one line per example; none of language models.
    """

    record: dict[str, Any]
    outputs: list[str]


def scores_name(split: str | OwnFiles, weights: str, decoding: DecodingConfig | None) -> str:
    """Names the files of an evaluation.

    Example:
        >>> scores_name("test", "average", DecodingConfig())
        'test-average-beam4'
    """
    parts = [split.name() if isinstance(split, OwnFiles) else split, weights]
    if decoding is not None:
        size = decoding.beam_size if decoding.method == "beam" else ""
        parts.append(f"{decoding.method}{size}")
    return "-".join(parts)


def kept_lines(outputs: Iterable[str]) -> list[str]:
    """Returns each output as one line."""
    return [" ".join(text.splitlines()) for text in outputs]


def write_evaluation(path: Path, record: Record, outputs: Sequence[str]) -> None:
    """Writes the scores as JSON and each output as a line, beside each other.

    Args:
        path: of both files, without their endings.
        record: of the scores.
        outputs: one text per example.
    """
    write_scores(_scores(path), record)
    if outputs:
        text = "".join(f"{line}\n" for line in kept_lines(outputs))
        _outputs(path).write_text(text, encoding="utf-8")


def read_evaluation(path: Path) -> Evaluation | None:
    """Reads an evaluation; None if there is none, or a file is damaged."""
    try:
        record = json.loads(_scores(path).read_text(encoding="utf-8"))
        lines = []
        if _outputs(path).exists():
            lines = _outputs(path).read_text(encoding="utf-8").split("\n")[:-1]
        return Evaluation(record, lines) if isinstance(record, dict) else None
    except (OSError, ValueError):
        return None


def _scores(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _outputs(path: Path) -> Path:
    return path.with_name(f"{path.name}.txt")
