"""The record of a score: everything needed to reproduce it."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from flax_transformer.evaluation.scores import Score
from flax_transformer.whole_files import written_whole


def environment() -> dict[str, Any]:
    """Describes the software and the hardware in use.

    Returns:
        Versions of Python and of the libraries that affect scores; the platform; the processor and
        its number of cores; the kind and the number of JAX devices.

    Example:
        >>> environment()["num_devices"] == jax.device_count()
        True
    """
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("jax", "flax", "optax", "sacrebleu")},
        },
        "platform": platform.platform(),
        "processor": _processor(),
        "num_cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "num_devices": jax.device_count(),
    }


@dataclass(frozen=True)
class Record:
    """Scores of one model on one split or on other files, with all settings behind them.

    Attributes:
        split: of the data set; None for a user's own files.
        decoding: settings of the search: method, beam size, penalty and so on; None without search.
        dtype: type of the computation.
        checkpoint_step: number of updates before the (last) checkpoint.
        num_averaged: number of averaged checkpoints; 1 means no averaging.
        scores: by name.
        details: plain data beyond the scores.
        files: paths of a user's own files that were scored, by their roles.
        command: command line, word by word.
        seed: of training.
        environment: see `environment`.
        date: UTC, ISO 8601.
    """

    split: str | None
    decoding: dict[str, Any] | None
    dtype: str
    checkpoint_step: int
    num_averaged: int
    scores: dict[str, Score]
    command: Sequence[str]
    seed: int
    details: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=environment)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def to_json(self) -> dict[str, Any]:
        """Returns the record as plain data; infinite or undefined numbers become null."""
        scores = {
            name: score._asdict() | {"value": score.value if math.isfinite(score.value) else None}
            for name, score in self.scores.items()
        }
        return asdict(self) | {"scores": scores}


def write_scores(path: str | os.PathLike[str], record: Record) -> None:
    """Writes a record as JSON, atomically.

    Args:
        path: of the file; its directory is created if needed.
        record: to write; infinite or undefined numbers become null.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
    with written_whole(target) as file:
        file.write_text(text + "\n", encoding="utf-8")


def _processor() -> str:
    """The model name of the processor; Python's platform module lacks it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
