"""Errors of a training step in one line: the first NaN, with its operation, and lack of memory."""

import contextlib
import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import jax

from flax_transformer.data.batches.batch import AnyBatch
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.training.parallel import Devices

_PROJECT = Path(__file__).parents[2]
_FUNCTIONS = _PROJECT / "functional"
_OF_OTHERS = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
_COMPILED_WHOLE = ("scan", "while")


@contextlib.contextmanager
def debug_nans() -> Iterator[None]:
    """Stops at the first NaN that comes out of a compiled function, and names where it was made.

    JAX then looks at all that compiled functions give, and runs one that gave a NaN once more, one
    operation after the other. So every step waits for its results, and keeps its arguments: within
    this context nothing is donated. It must be entered before the step is first called; one that
    already reuses its arguments' memory cannot be run once more. Infinities do not stop it.

    Raises:
        UserError: naming the operation, the line of this project or the user's that called it, and
            what to do next.
    """
    settings: Any = jax.config  # whose fields JAX makes as it starts
    filtering = settings.jax_traceback_filtering
    # What JAX filters out says which line of the forward pass a gradient belongs to.
    settings.update("jax_traceback_filtering", "off")
    try:
        with jax.debug_nans(True):
            yield
    except FloatingPointError as error:
        _explain(error)
    finally:
        settings.update("jax_traceback_filtering", filtering)


def _explain(error: FloatingPointError) -> NoReturn:
    """Raises the error that the user sees instead of JAX's."""
    named = re.match(r"invalid value \(nan\) encountered in (\w+)$", str(error))
    operation = named.group(1) if named else "an operation that JAX does not name"
    place = _place(error.__traceback__)
    if operation in _COMPILED_WHOLE:
        advice = (
            "to see inside it, train with --training.accumulate-steps 1 and --model.no-scan-layers"
        )
    else:
        advice = (
            "see which of its inputs are infinite, or outside its range; where parameters grew "
            "too large, lower --optimizer.learning-rate or set --optimizer.clip-norm 1"
        )
    raise UserError(f"the first NaN came out of {operation}{place}: {advice}") from error


def _place(trace: TracebackType | None) -> str:
    """The innermost line that is this project's or the user's, and if it is of the gradient."""
    frames = list(traceback.walk_tb(trace))
    # While JAX goes through recorded equations, as for a gradient, each holds the line it is from.
    for frame, _ in reversed(frames):
        source = getattr(frame.f_locals.get("eqn"), "source_info", None)
        recorded = source and source.traceback and source.traceback.as_python_traceback()
        line = _own_line(traceback.walk_tb(recorded or None))
        if line:
            is_backward = frame.f_code.co_name.startswith("backward_pass")
            return f" in the gradient of {line}" if is_backward else f" in {line}"
    line = _own_line(frames)
    return f" in {line}" if line else ""


def _own_line(frames: Iterable[tuple[Any, int]]) -> str:
    """File, line and text of the innermost frame that is no library's; "" if there is none.

    Functions of this project serve many layers: the line that called them is reported too.
    """
    summary = traceback.StackSummary.extract(iter(frames))
    own = [frame for frame in summary if _is_own(frame.filename)]
    callers = [frame for frame in own if not Path(frame.filename).is_relative_to(_FUNCTIONS)]
    lines = [
        f"{frame.filename}, line {frame.lineno} ({frame.line})"
        for frame in (*own[-1:], *callers[-1:])
    ]
    # One where the innermost is the caller itself.
    return ", called by ".join(dict.fromkeys(lines))


def _is_own(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(_PROJECT) or not filename.startswith((*_OF_OTHERS, "<"))


@contextlib.contextmanager
def explain_out_of_memory(
    experiment: Experiment, devices: Devices, batch: AnyBatch
) -> Iterator[None]:
    """Turns XLA's RESOURCE_EXHAUSTED into one line about the batch and what to lower.

    A step only begins when it is called, so the error may come when its results are read: that
    belongs inside this context, too. Other errors pass unchanged.

    Args:
        experiment: whose options are to be lowered.
        devices: that share the batch.
        batch: of this process, as it was before `devices` cut it.

    Raises:
        UserError: naming the batch and what XLA said, and what to lower, what
            changes the training least first.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"out of memory on a batch of {batch.describe()} ({_sentence(error)}): "
            f"{'; or '.join(_remedies(experiment, devices, batch))}"
        ) from error


def _remedies(experiment: Experiment, devices: Devices, batch: AnyBatch) -> Iterator[str]:
    """What needs less memory: parts of an update, smaller ones, more time."""
    rows, parts = len(jax.tree.leaves(batch)[0]), experiment.training.accumulate_steps
    if rows // len(devices.devices) > parts:
        yield f"raise --training.accumulate-steps to {2 * parts} (the same update, in parts)"
    yield from experiment.data.smaller_batches(batch)
    if not (experiment.model.remat and experiment.model.scan_layers):
        yield "add --model.remat --model.scan-layers (computes the layers twice)"


def _sentence(error: Exception) -> str:
    """What XLA says of memory, on one line, without the list of arrays that may follow."""
    said = re.split(
        r"\.?\s*\n|\.\s|\.$", str(error).partition("RESOURCE_EXHAUSTED")[2].lstrip(": ")
    )
    return next((sentence for sentence in said if "memory" in sentence), said[0])
