"""Memory of a device that runs out: which batch needed it, and what to lower."""

import contextlib
import re
from collections.abc import Iterator

import jax
import numpy as np

from flax_transformer.data.batch import Batch
from flax_transformer.data.datasets import DataConfig
from flax_transformer.data.tokenizer import PAD
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.training.parallel import Devices


@contextlib.contextmanager
def explain_out_of_memory(experiment: Experiment, devices: Devices, batch: Batch) -> Iterator[None]:
    """Turns XLA's RESOURCE_EXHAUSTED into one line about the batch and what to lower.

    A step only begins when it is called, so the error may come when its results are read: that
    belongs inside this context, too. Other errors pass unchanged.

    Args:
        experiment: whose options are to be lowered.
        devices: that share the batch.
        batch: of this process, as it was before `devices` cut it.

    Raises:
        UserError: naming the batch's shapes and tokens and what XLA said, and what to lower, what
            changes the training least first.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        rows, source_length = batch.source.shape
        tokens = sum(int(np.count_nonzero(side != PAD)) for side in (batch.source, batch.target))
        raise UserError(
            f"out of memory on a batch of {rows:,} rows, {source_length:,} source and "
            f"{batch.target.shape[1]:,} target tokens long, {tokens:,} tokens without padding "
            f"({_sentence(error)}): {'; or '.join(_remedies(experiment, devices, batch))}"
        ) from error


def _remedies(experiment: Experiment, devices: Devices, batch: Batch) -> Iterator[str]:
    """What needs less memory: parts of an update, smaller ones, shorter pairs, more time."""
    rows, parts = len(batch.target), experiment.training.accumulate_steps
    if rows // len(devices.devices) > parts:
        yield f"raise --training.accumulate-steps to {2 * parts} (the same update, in parts)"
    yield from _smaller_batches(experiment.data)
    longest = max(batch.source.shape[1], batch.target.shape[1])
    if longest > 2:
        yield f"lower --data.max-length to {longest // 2} (leaves longer pairs out)"
    if not (experiment.model.remat and experiment.model.scan_layers):
        yield "add --model.remat --model.scan-layers (computes the layers twice)"


def _smaller_batches(data: DataConfig) -> Iterator[str]:
    if data.batch_size is None:
        half = max(data.tokens_per_batch // 2, data.max_length)
        if half < data.tokens_per_batch:
            yield f"lower --data.tokens-per-batch to {half}"
    elif data.batch_size > 1:
        yield f"lower --data.batch-size to {data.batch_size // 2}"


def _sentence(error: Exception) -> str:
    """What XLA says of memory, on one line, without the list of arrays that may follow."""
    said = re.split(
        r"\.?\s*\n|\.\s|\.$", str(error).partition("RESOURCE_EXHAUSTED")[2].lstrip(": ")
    )
    return next((sentence for sentence in said if "memory" in sentence), said[0])
