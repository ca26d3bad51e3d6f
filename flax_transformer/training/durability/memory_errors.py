"""Memory of a device that runs out: which batch needed it, and what to lower."""

import contextlib
import re
from collections.abc import Iterator

import jax

from flax_transformer.data.batches.batch import AnyBatch
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.training.parallel import Devices


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
