"""Runs a training step on one device or, by data parallelism, on several."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

AXIS = "devices"


class Devices:
    """Runs a step under `jit` on one device and under `pmap` on several.

    Every device holds the whole state and gets an equal share of each batch's rows.

    Attributes:
        devices: the devices of this process.
    """

    def __init__(self, devices: Sequence[Any] | None = None):
        self.devices = list(jax.local_devices() if devices is None else devices)

    @property
    def axis_name(self) -> str | None:
        """The name of the mapped axis, None on one device."""
        return AXIS if self.is_mapped else None

    @property
    def is_mapped(self) -> bool:
        """Whether states and batches have a leading axis of devices."""
        return len(self.devices) > 1 or jax.process_count() > 1

    def compile(self, step: Callable, *, keep_state: bool = False) -> Callable:
        """Compiles a (state, batch, rng) step that reuses or keeps the memory of its state."""
        donated = () if keep_state else (0,)
        if self.is_mapped:
            return self._pmap(step, in_axes=(0, 0, None), donate_argnums=donated)
        return jax.jit(step, donate_argnums=donated)

    def _pmap(self, function: Callable, **options: Any) -> Callable:
        devices = self.devices if jax.process_count() == 1 else None
        return jax.pmap(function, AXIS, devices=devices, **options)

    def replicate(self, tree: Any) -> Any:
        """Copies a state to every device."""
        if self.is_mapped:
            count = len(self.devices)
            copies = jax.tree.map(lambda x: np.broadcast_to(x, (count, *np.shape(x))), tree)
            # Placed as a step's results are, or the second step would compile again.
            return self._pmap(lambda x: x)(copies)
        return jax.device_put(tree, self.devices[0])

    def first(self, tree: Any) -> Any:
        """Returns the first device's copy of a state or of metrics.

        With several devices, the copy is read into the host's memory: indexing the arrays would run
        a program on all devices for each array.
        """
        return jax.tree.map(_first_copy, tree) if self.is_mapped else tree

    def shard(self, batch: Any) -> Any:
        """Splits the rows of this process's batch into equal shares for its devices."""
        if not self.is_mapped:
            return batch
        count = len(self.devices)
        return jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), batch)


def _first_copy(array: Any) -> np.ndarray:
    # NumPy removes the axis of devices, which is 1 in a shard; JAX would run a program for it.
    return np.asarray(array.addressable_data(0)).reshape(array.shape[1:])
