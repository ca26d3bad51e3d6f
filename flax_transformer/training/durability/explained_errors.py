"""One-line errors of a training step: the first NaN with its operation, and lack of memory."""

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
from flax_transformer.training.devices import Devices

_PROJECT = Path(__file__).parents[2]
_FUNCTIONS = _PROJECT / "functional"
_OF_OTHERS = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
_COMPILED_WHOLE = ("scan", "while")


@contextlib.contextmanager
def debug_nans() -> Iterator[None]:
    """Stops at the first NaN that a compiled function returns, and names its operation.

    JAX checks all outputs of compiled functions. A function that returned a NaN runs again, one
    operation after the other. So every step waits for its results and keeps its arguments: within
    this context nothing is donated. Enter it before the first call of the step; a compiled step
    that reuses its arguments' memory cannot run again. Infinities do not stop it.

    Raises:
        UserError: naming the operation, the line of this project or the user's code that called it,
            and the next step to take.
    """
    settings: Any = jax.config  # JAX creates its fields at import
    filtering = settings.jax_traceback_filtering
    # The frames that JAX filters out name the forward line of a gradient.
    settings.update("jax_traceback_filtering", "off")
    try:
        with jax.debug_nans(True):
            yield
    except FloatingPointError as error:
        _explain(error)
    finally:
        settings.update("jax_traceback_filtering", filtering)


def _explain(error: FloatingPointError) -> NoReturn:
    """Raises the user's error instead of JAX's."""
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
    """Returns the innermost line of this project or the user, and whether it is of the gradient."""
    frames = list(traceback.walk_tb(trace))
    # While JAX evaluates recorded equations, as for a gradient, each has its source line.
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
    """Returns the innermost frame that is not a library's: file, line and text; "" without one.

    Functions of this project are used by many layers: the line that called them is reported too.
    """
    summary = traceback.StackSummary.extract(iter(frames))
    own = [frame for frame in summary if _is_own(frame.filename)]
    callers = [frame for frame in own if not Path(frame.filename).is_relative_to(_FUNCTIONS)]
    lines = [
        f"{frame.filename}, line {frame.lineno} ({frame.line})"
        for frame in (*own[-1:], *callers[-1:])
    ]
    # One frame if the innermost is the caller itself.
    return ", called by ".join(dict.fromkeys(lines))


def _is_own(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(_PROJECT) or not filename.startswith((*_OF_OTHERS, "<"))


@contextlib.contextmanager
def explain_out_of_memory(
    experiment: Experiment, devices: Devices, batch: AnyBatch
) -> Iterator[None]:
    """Turns XLA's RESOURCE_EXHAUSTED into one line about the batch and the options to lower.

    A step starts asynchronously, so the error may occur when its results are read: read them in
    this context too. Other errors pass unchanged.

    Args:
        experiment: experiment with the options to lower.
        devices: devices that share the batch.
        batch: batch of this process, before `devices` distributes it.

    Raises:
        UserError: naming the batch, XLA's message, and the options to lower, those that change the
            training least first.
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
    """Yields ways to save memory: parts of an update, smaller batches, more time."""
    rows, parts = len(jax.tree.leaves(batch)[0]), experiment.training.accumulate_steps
    if rows // len(devices.own_shares) > parts:
        yield f"raise --training.accumulate-steps to {2 * parts} (the same update, in parts)"
    yield from experiment.data.smaller_batches(batch)
    if experiment.model.remat != "all" or not experiment.model.scan_layers:
        yield "add --model.remat all --model.scan-layers (computes the layers twice)"


def _sentence(error: Exception) -> str:
    """Returns XLA's message about memory on one line, without the list of arrays after it."""
    said = re.split(
        r"\.?\s*\n|\.\s|\.$", str(error).partition("RESOURCE_EXHAUSTED")[2].lstrip(": ")
    )
    return next((sentence for sentence in said if "memory" in sentence), said[0])
