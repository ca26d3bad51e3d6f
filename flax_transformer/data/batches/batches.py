"""What the batches of every task have in common."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class AnyBatch(Protocol):
    """Arrays of some examples: a NamedTuple, whose fields are the arrays."""

    def count(self) -> int:
        """Number of what the task counts its speed in, padding not counted."""
        ...

    def describe(self) -> str:
        """Says how large it is, in a few words."""
        ...


@runtime_checkable
class Batches(Protocol):
    """The batch of every training step, a function of the seed and the step alone."""

    def __getitem__(self, step: int) -> Any: ...

    def shard(self, process_index: int, process_count: int) -> "Batches":
        """Gives the batches of one process: its rows of every batch."""
        ...

    def describe(self, devices: str) -> list[str]:
        """Says in some lines what an epoch holds; `devices` are those that share an update."""
        ...
