"""The largest batch that fits into the memory of the devices."""

import functools
from collections.abc import Callable

from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.planned_training import PlannedTraining
from flax_transformer.training.planning.topology import Topology
from flax_transformer.training.planning.training_plan import CompiledStep, compile_step

_ROOM = 0.97  # XLA keeps some of the memory: of 16 GiB of a v5e it uses 15.75
_LESS = 0.9  # of the rows, if what was computed does not fit after all


def largest_rows(
    peak: Callable[[int], float], rows: int, multiple: int, available: float
) -> int | None:
    """Finds the most rows whose peak fits, from few measured peaks.

    The peak is taken to be linear in the rows: two are measured, the largest number is computed,
    and measured too.

    Args:
        peak: bytes that a number of rows needs; infinite if they do not fit at all.
        rows: to begin with.
        multiple: divides the number of rows.
        available: bytes that there are.

    Returns:
        The number of rows, of which the peak was measured; None if not even `multiple` rows fit.

    Example:
        >>> measured = []
        >>> def peak(rows):
        ...     measured.append(rows)
        ...     return 30 + 2 * rows
        >>> largest_rows(peak, rows=8, multiple=4, available=100.0), measured
        (32, [8, 16, 32])
    """
    peak = functools.cache(peak)

    def shrunk(rows: float) -> int:
        return max(multiple, int(rows) // multiple * multiple)

    while peak(rows) > available:
        if rows <= multiple:
            return None
        rows = shrunk(rows / 2)
    other = 2 * rows if peak(2 * rows) <= available else shrunk(rows / 2)
    fitting = max(rows, other)
    slope = (peak(rows) - peak(other)) / (rows - other) if rows != other else 0.0
    if slope <= 0:
        return fitting
    computed = shrunk(fitting + (available - peak(fitting)) / slope)
    while computed > fitting and peak(computed) > available:
        computed = shrunk(_LESS * computed)
    return max(computed, fitting)


def largest_batch(
    planned: PlannedTraining,
    topology: Topology,
    mesh: str,
    first: CompiledStep,
    report: Callable[[str], None],
) -> int | None:
    """Finds the most rows of a batch that fit, by compiling a few sizes.

    Args:
        planned: the training; the lengths of its batch are kept.
        topology: the devices.
        mesh: sizes of the mesh's axes; see `parse_mesh`.
        first: the compiled step of the training's own batch.
        report: is given a line before each compilation.
    """
    sizes = mesh_sizes(mesh, len(topology.devices))
    multiple = sizes["data"] * sizes["fsdp"] * planned.experiment.training.accumulate_steps

    def peak(rows: int) -> float:
        step = first
        if rows != planned.num_rows:
            report(f"compiling for {rows:,} rows")
            step = compile_step(planned.with_rows(rows), topology, mesh)
        # All of these must fit beside each other, in use or not: more than the peak.
        memory = step.memory
        return float("inf") if memory is None else float(memory.arguments + memory.temporary)

    return largest_rows(peak, planned.num_rows, multiple, _ROOM * topology.memory)
