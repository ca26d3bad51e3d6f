"""What is measured on the way: one line of JSON each, and the same as TensorBoard curves."""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from flax_transformer.evaluation.metric import is_less_better
from flax_transformer.whole_files import written_whole

VALIDATION = "validation"
PER_SECOND = "_per_second"


def whole_lines(path: Path) -> list[str]:
    """Reads the lines that were measured, without one that a crash has cut off.

    Args:
        path: of a metrics.jsonl; there may be none yet.
    """
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n") and _parsed(line)]


Goodness = float | tuple[float, ...]
"""A score of which more is better; or a score of 0, and the scores after it."""


def validation_scores(path: Path, name: str) -> dict[int, Goodness]:
    """Reads how a score of the validation split went: step -> goodness, in the order of the steps.

    A score of 0, such as BLEU early in a training, does not say which evaluation is better: then
    the next score of the line does.

    Args:
        path: of a metrics.jsonl; there may be none yet.
        name: of the score.
    """
    lines = _validation_lines(path, name)
    return {line["step"]: tuple(_goodness(line, name).values()) for line in lines}


def deciding_score(path: Path, name: str) -> str:
    """Names the score by which the best step is found: another one if `name` is 0 at every step."""
    found = {line["step"]: _goodness(line, name) for line in _validation_lines(path, name)}
    best = best_step({step: tuple(goodness.values()) for step, goodness in found.items()})
    return name if best is None else list(found[best])[-1]


def _validation_lines(path: Path, name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, whole_lines(path))
    return [line for line in lines if line["kind"] == VALIDATION and name in line]


def _goodness(line: Mapping[str, Any], name: str) -> dict[str, float]:
    """The score and, while all are 0, the next ones; negated if less is better."""
    names = list(line)
    goodness = {}
    for following in names[names.index(name) :]:
        value = float(line[following])
        sign = -1 if is_less_better(following) else 1
        # NaN is the worst score.
        goodness[following] = -math.inf if math.isnan(value) else sign * value
        if value != 0 or sign == -1:  # a loss of 0 is perfect
            break
    return goodness


def speed_name(unit: str) -> str:
    """Names the measured speed: target_tokens_per_second."""
    return f"{unit.replace(' ', '_')}{PER_SECOND}"


def best_step(scores: Mapping[int, Goodness]) -> int | None:
    """The step with the highest score, the first of equal ones; None if there is no score.

    Example:
        >>> best_step({100: 3.0, 200: 7.0, 300: 7.0})
        200
    """
    return max(scores, key=lambda step: (scores[step], -step), default=None)


def scores_since_best(scores: Mapping[int, Goodness]) -> int:
    """How many scores came after the best one.

    Example:
        >>> scores_since_best({100: 3.0, 200: 7.0, 300: 7.0})
        1
    """
    best = best_step(scores)
    return 0 if best is None else sum(step > best for step in scores)


class _Curves:
    """TensorBoard's events, written in this thread.

    tensorboardX's own SummaryWriter writes in another one: an error there, such as a full disk, is
    told by nobody, and the next events wait for ever.

    Args:
        folder: of the event files; made if it does not exist.
        purge_step: from which on events of earlier files are to be forgotten.
    """

    def __init__(self, folder: Path, purge_step: int):
        # The package imports PyTorch where there is one: two seconds saved.
        modules: dict[str, Any] = sys.modules
        is_hidden = modules.setdefault("torch", None) is None
        try:
            from tensorboardX import event_file_writer, summary, writer
        finally:
            if is_hidden:
                del modules["torch"]
        self._scalar, self._event = summary.scalar, writer.Event
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = event_file_writer.EventsWriter(str(folder / "events"))
        start = writer.SessionLog(status=writer.SessionLog.START)
        self._writer.write_event(self._event(step=purge_step, session_log=start))

    def add(self, name: str, value: int | float, step: int) -> None:
        """Adds a point to a curve."""
        event = self._event(wall_time=time.time(), step=step, summary=self._scalar(name, value))
        self._writer.write_event(event)

    def flush(self) -> None:
        """Lets readers see what was added."""
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


class MetricsWriter:
    """Appends to metrics.jsonl and to TensorBoard's files.

    Args:
        path: of the JSON lines.
        tensorboard: folder of TensorBoard's files.
        step: updates already made; later lines of an interrupted run are dropped, for they will
            be written again.
    """

    def __init__(self, path: Path, tensorboard: Path, step: int):
        kept = [line for line in whole_lines(path) if json.loads(line)["step"] <= step]
        with written_whole(path) as file:
            file.write_text("".join(kept))
        self._lines: TextIO = path.open("a")
        self._curves = _Curves(tensorboard, purge_step=step + 1)

    def write(self, step: int, kind: str, values: dict[str, Any]) -> None:
        """Writes one line of metrics of one kind ("train" or a split's name)."""
        self._lines.write(json.dumps({"step": step, "kind": kind} | values) + "\n")
        self._lines.flush()
        for name, value in values.items():
            # A curve has a gap where there was nothing to measure.
            if value is not None:
                self._curves.add(f"{kind}/{name}", value, step)
        self._curves.flush()

    def close(self) -> None:
        """Writes what is left."""
        self._lines.close()
        self._curves.close()


def _parsed(line: str) -> dict[str, Any] | None:
    """A line's contents; None for one that a crash has cut off."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    is_ours = isinstance(parsed, dict) and {"step", "kind"} <= parsed.keys()
    return parsed if is_ours else None
