"""What every way of running a training step offers: on one device, or on several."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import jax


class Devices(ABC):
    """The devices of a training.

    Attributes:
        devices: those of all processes.
        num_shares: number of equal shares into which the rows of a batch are cut.
        own_shares: those that the devices of this process need.
        axis_name: the mapped axis over devices, None if a step sees the whole batch.
    """

    devices: list[Any]
    num_shares: int = 1
    own_shares: tuple[int, ...] = (0,)
    axis_name: str | None = None

    @abstractmethod
    def compile(self, step: Callable, *, keep_state: bool = False) -> Callable:
        """Compiles a (state, batch, rng) step that reuses or keeps the memory of its state."""

    @abstractmethod
    def place(self, tree: Any) -> Any:
        """Brings a state from the host to the devices."""

    @abstractmethod
    def whole(self, tree: Any) -> Any:
        """Returns a state or metrics in a form that this process can read as usual arrays."""

    def to_save(self, state: Any) -> Any:
        """Returns a state in the form in which a checkpoint takes it."""
        return jax.device_get(self.whole(state))

    def to_restore(self, shapes: Any) -> Any:
        """Returns the shapes of a state in the form in which a checkpoint restores it."""
        return shapes

    @abstractmethod
    def share(self, batch: Any) -> Any:
        """Distributes the rows of a batch that this process needs over its devices."""

    def of_all(self, count: int) -> int:
        """Estimates a count over a whole batch by that of the rows that this process needs."""
        return round(count * self.num_shares / len(self.own_shares))

    @abstractmethod
    def place_for_use(self, variables: Any) -> Any:
        """Brings whole variables to where an evaluation uses them."""
