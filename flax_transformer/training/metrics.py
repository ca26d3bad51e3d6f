"""Measurements of a training as JSON lines and TensorBoard curves, and decisions based on them."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from flax_transformer.evaluation.metric import is_less_better
from flax_transformer.training.processes import from_first, is_first
from flax_transformer.training.training_config import TrainingConfig
from flax_transformer.whole_files import written_whole

VALIDATION = "validation"
PER_SECOND = "_per_second"


def whole_lines(path: Path) -> list[str]:
    """Reads the measured lines, without a line cut off by a crash.

    Args:
        path: path of a metrics.jsonl, which may not exist yet.
    """
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith("\n") and _parsed(line)]


def keep_lines(path: Path, is_kept: Callable[[Mapping[str, Any]], bool]) -> None:
    """Rewrites a metrics.jsonl with those complete lines that `is_kept` accepts."""
    kept = [line for line in whole_lines(path) if is_kept(json.loads(line))]
    with written_whole(path) as file:
        file.write_text("".join(kept))


Goodness = float | tuple[float, ...]
"""A score where higher is better; or a score of 0, followed by further scores."""


def validation_scores(path: Path, name: str) -> dict[int, Goodness]:
    """Reads a score of the validation split: step -> goodness, in the order of the steps.

    A score of 0, such as BLEU early in a training, cannot rank evaluations. The next score of the
    line is then used.

    Args:
        path: path of a metrics.jsonl, which may not exist yet.
        name: name of the score.
    """
    return {step: tuple(found.values()) for step, found in _goodness_by_step(path, name).items()}


def agreed_scores(path: Path, name: str) -> dict[int, Goodness]:
    """Reads `validation_scores` in the first process, for all: the others may see an old file."""
    pairs = from_first(lambda: list(validation_scores(path, name).items()))
    return {step: tuple(values) for step, values in pairs}


def deciding_score(path: Path, name: str) -> str:
    """Names the score that decides the best step: the next one if `name` is 0 at every step."""
    best = best_step(validation_scores(path, name))
    return name if best is None else list(_goodness_by_step(path, name)[best])[-1]


def _goodness_by_step(path: Path, name: str) -> dict[int, dict[str, float]]:
    return {step: goodness(line, name) for step, line in validation_lines(path, name).items()}


def validation_lines(path: Path, name: str) -> dict[int, dict[str, Any]]:
    """Reads the lines of the validation split that have a score, by step."""
    lines = [line for line in map(json.loads, whole_lines(path)) if line["kind"] == VALIDATION]
    return {line["step"]: line for line in lines if name in line}


def goodness(line: Mapping[str, Any], name: str) -> dict[str, float]:
    """Ranks scores: `name` and, while all are 0, the next ones; negated if lower is better.

    Example:
        >>> goodness({"bleu": 0.0, "chrf": 7.5, "loss": 3.5}, "bleu")
        {'bleu': 0.0, 'chrf': 7.5}
    """
    names = list(line)
    ranked = {}
    for following in names[names.index(name) :]:
        value = float(line[following])
        sign = -1 if is_less_better(following) else 1
        # NaN is the worst score.
        ranked[following] = -math.inf if math.isnan(value) else sign * value
        if value != 0 or sign == -1:  # a loss of 0 is perfect
            break
    return ranked


def is_better(line: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    """Returns whether a line's scores are better than another's; see `goodness`.

    Example:
        >>> is_better({"perplexity": 13.0}, {"perplexity": 22.0}, "perplexity")
        True
    """
    first, second = (tuple(goodness(one, name).values()) for one in (line, other))
    return first > second


def speed_name(unit: str) -> str:
    """Names the measured speed: target_tokens_per_second."""
    return f"{unit.replace(' ', '_')}{PER_SECOND}"


def best_step(scores: Mapping[int, Goodness]) -> int | None:
    """Returns the step with the highest score, the first of equal ones; None without scores.

    Example:
        >>> best_step({100: 3.0, 200: 7.0, 300: 7.0})
        200
    """
    return max(scores, key=lambda step: (scores[step], -step), default=None)


def scores_since_best(scores: Mapping[int, Goodness]) -> int:
    """Counts the scores after the best one.

    Example:
        >>> scores_since_best({100: 3.0, 200: 7.0, 300: 7.0})
        1
    """
    best = best_step(scores)
    return 0 if best is None else sum(step > best for step in scores)


class MetricsWriter:
    """Appends to metrics.jsonl and to TensorBoard's files; of several processes, the first does.

    Args:
        path: path of the JSON lines.
        tensorboard: folder of TensorBoard's files.
        step: updates already made; later lines of an interrupted run are dropped, because they will
            be written again.
    """

    def __init__(self, path: Path, tensorboard: Path, step: int):
        self._lines: TextIO | None = None
        if not is_first():
            return
        keep_lines(path, lambda line: line["step"] <= step)
        self._lines = path.open("a")
        self._events, self._event, self._scalar = _open_events(tensorboard, step + 1)

    def write(self, step: int, kind: str, values: dict[str, Any]) -> None:
        """Writes one line of metrics of one kind ("train" or a split's name)."""
        if self._lines is None:
            return
        self._lines.write(json.dumps({"step": step, "kind": kind} | values) + "\n")
        self._lines.flush()
        for name, value in values.items():
            # A curve has a gap where nothing was measured.
            if value is not None:
                summary = self._scalar(f"{kind}/{name}", value)
                event = self._event(wall_time=time.time(), step=step, summary=summary)
                self._events.write_event(event)
        self._events.flush()

    def close(self) -> None:
        """Writes everything that remains."""
        if self._lines is not None:
            self._lines.close()
            self._events.close()


def _open_events(folder: Path, purge_step: int) -> tuple[Any, Any, Any]:
    """Opens TensorBoard's event files, for writing in this thread.

    tensorboardX's own SummaryWriter writes in another thread. An error there, such as a full disk,
    is not reported, and the next events wait forever.

    Args:
        folder: folder of the event files; created if it does not exist.
        purge_step: first step whose events in earlier files are discarded.

    Returns:
        The writer, and the functions that make an event and a summary of a scalar.
    """
    # The package imports PyTorch if it is installed: this saves two seconds.
    modules: dict[str, Any] = sys.modules
    is_hidden = modules.setdefault("torch", None) is None
    try:
        from tensorboardX import event_file_writer, summary, writer
    finally:
        if is_hidden:
            del modules["torch"]
    folder.mkdir(parents=True, exist_ok=True)
    events = event_file_writer.EventsWriter(str(folder / "events"))
    start = writer.SessionLog(status=writer.SessionLog.START)
    events.write_event(writer.Event(step=purge_step, session_log=start))
    return events, writer.Event, summary.scalar


def _parsed(line: str) -> dict[str, Any] | None:
    """Returns a line's contents; None for a line cut off by a crash."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    is_ours = isinstance(parsed, dict) and {"step", "kind"} <= parsed.keys()
    return parsed if is_ours else None


class Milestones:
    """Decides after a step, by the scores so far, whether to evaluate and whether to stop.

    With several processes, the first one decides, as the others may see an old file.

    Args:
        training: config with the evaluation interval and the length of the training.
        metrics: file of the scores; it may not exist yet.
    """

    def __init__(self, training: TrainingConfig, metrics: Path):
        self._training, self._metrics = training, metrics
        self._best_score = training.score

    def needs_evaluation(self, step: int) -> bool:
        """Returns whether the model must be scored after a step, and was not yet."""
        is_due = step > 0 and self._training.evaluates_at(step)
        return is_due and from_first(lambda: step not in self._scores(step))

    def is_over(self, step: int) -> bool:
        """Returns whether no further step follows."""
        training = self._training
        if step >= training.num_steps or training.patience is None:
            return step >= training.num_steps
        # The scores change only after an evaluation.
        patience = training.patience
        return training.evaluates_at(step) and from_first(
            lambda: scores_since_best(self._scores(step)) >= patience
        )

    def other_choice(self, step: int) -> str | None:
        """Warns once, after two evaluations, that the chosen best_score is 0 at both."""
        decides = deciding_score(self._metrics, self._best_score)
        if decides == self._best_score or len(self._scores(step)) != 2:
            return None
        return (
            f"{self._best_score} has been 0 at every evaluation: until it is not, the best "
            f"checkpoint is chosen by {decides}"
        )

    def _scores(self, step: int) -> dict[int, Goodness]:
        """The scores up to a step; later ones in the file will be measured again."""
        scores = validation_scores(self._metrics, self._best_score)
        return {scored: value for scored, value in scores.items() if scored <= step}
