"""What a step of a training needs on devices that this machine does not have."""

import contextlib
import dataclasses
import re
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from flax_transformer.errors import UserError
from flax_transformer.functional.kernels.rows_on_mesh import ROW_AXES
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.collectives import Traffic, find_collectives, traffic
from flax_transformer.training.planning.planned_training import PlannedTraining, abstract_key
from flax_transformer.training.planning.topology import Topology

# Of a device's peak, in matrix products of large models: an assumption, not a prediction.
EFFICIENCIES = (0.4, 0.6)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        arguments: of the state and of its part of the batch.
        temporary: of what is computed in between.
        peak: that are in use at once.
    """

    arguments: int
    temporary: int
    peak: int


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """What the compiler says about a step.

    Attributes:
        memory: on one device; None if the program does not fit.
        reason: the compiler's, if it does not fit.
        traffic: by kind of collective, and whether it is in a loop.
        seconds: of compiling.
    """

    memory: Memory | None
    reason: str
    traffic: dict[tuple[str, bool], Traffic]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known of a training before it runs.

    Attributes:
        topology: see `find_topology`.
        device: the kind of the devices, as JAX names it.
        num_devices: number of devices.
        mesh: size of each axis.
        parameters: number of trained parameters.
        batch: shape of each array of the largest batch.
        flops: floating-point operations that a step needs, over all devices.
        seconds: of the fastest and the slowest step that is expected; see `seconds_a_step`.
        device_memory: bytes that one device has.
        step: the compiled step.
        most_rows: that fit; None if it was not asked for, or none fit.
    """

    topology: str
    device: str
    num_devices: int
    mesh: dict[str, int]
    parameters: int
    batch: dict[str, tuple[int, ...]]
    flops: float
    seconds: tuple[float, float] | None
    device_memory: int
    step: CompiledStep
    most_rows: int | None = None

    @property
    def fits(self) -> bool:
        """Whether the memory of a device is enough."""
        return self.step.memory is not None and self.step.memory.peak <= self.device_memory

    def to_json(self) -> dict[str, Any]:
        """Returns the plan as plain data."""
        collectives = [
            {"kind": kind, "in_loop": in_loop} | one._asdict()
            for (kind, in_loop), one in self.step.traffic.items()
        ]
        others = {"collectives": collectives, "efficiencies": EFFICIENCIES, "fits": self.fits}
        plain = dataclasses.asdict(self)
        del plain["step"]["traffic"]
        return plain | others


def make_plan(planned: PlannedTraining, topology: Topology, mesh: str) -> Plan:
    """Plans a training; compiling its step takes most of the time.

    Args:
        planned: the training.
        topology: the devices.
        mesh: sizes of the mesh's axes; see `parse_mesh`.
    """
    flops = planned.count_flops()
    arrays = {name: x for name, x in planned.batch._asdict().items() if x is not None}
    return Plan(
        topology=topology.name,
        device=topology.kind,
        num_devices=len(topology.devices),
        mesh=mesh_sizes(mesh, len(topology.devices)),
        parameters=sum(x.size for x in jax.tree.leaves(planned.state().params)),
        batch={name: x.shape for name, x in arrays.items()},
        flops=flops,
        seconds=seconds_a_step(flops, topology),
        device_memory=topology.memory,
        step=compile_step(planned, topology, mesh),
    )


def compile_step(planned: PlannedTraining, topology: Topology, mesh: str) -> CompiledStep:
    """Compiles the step of a training ahead of time, from shapes.

    Args:
        planned: the training.
        topology: the devices.
        mesh: sizes of the mesh's axes; see `parse_mesh`.
    """
    devices = topology.mesh(mesh, is_mapped=not planned.mixes_rows)
    state = planned.state()
    rows = NamedSharding(devices.mesh, P(ROW_AXES))
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows), planned.batch
    )
    placed = jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        state,
        devices.shardings(state),
    )
    started = time.perf_counter()
    with _quick_compilation():
        lowered = devices.lower(planned.step(devices.axis_name), placed, batch, abstract_key())
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            return CompiledStep(None, _needed(error), {}, time.perf_counter() - started)
    seconds = time.perf_counter() - started
    found = traffic(find_collectives(compiled.as_text()))
    return CompiledStep(_memory(compiled, topology), "", found, seconds)


def seconds_a_step(flops: float, topology: Topology) -> tuple[float, float] | None:
    """Returns the shortest and the longest time of a step; None if the peak is not known.

    seconds = flops / (number of devices * peak * efficiency)

    The efficiencies are assumed: `EFFICIENCIES`. Communication that is not hidden comes on top.
    """
    if topology.peak_flops is None:
        return None
    at_peak = flops / (len(topology.devices) * topology.peak_flops)
    return at_peak / max(EFFICIENCIES), at_peak / min(EFFICIENCIES)


def _memory(compiled: Any, topology: Topology) -> Memory:
    analysis = compiled.memory_analysis()
    if analysis is None:
        raise UserError(
            f"{topology.name}: this version of jaxlib reports no memory: install a newer one"
        )
    arguments, temporary = analysis.argument_size_in_bytes, analysis.temp_size_in_bytes
    fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    # For a CPU, XLA's peak leaves out most temporary arrays.
    peak = getattr(analysis, "peak_memory_in_bytes", 0) if topology.peak_flops else 0
    return Memory(arguments, temporary, peak or arguments + temporary + fresh)


def _needed(error: Exception) -> str:
    """Shortens XLA's message to one line."""
    text = " ".join(str(error).split())
    number = r"([\d.]+\w)"
    used = re.search(rf"[Uu]sed {number} of {number}", text)
    temporary = re.search(rf"temporaries \({number}\) exceeds available \w+ \({number}\)", text)
    if found := used or temporary:
        return f"{'needs' if used else 'temporary arrays need'} {found[1]} of {found[2]}"
    return text.removeprefix("RESOURCE_EXHAUSTED: ")[:200]


@contextlib.contextmanager
def _quick_compilation() -> Iterator[None]:
    """Compiles at XLA's level O1, which takes a fraction of the time, and keeps no program.

    Memory and collectives hardly differ. A program for other devices could not be loaded again.
    """
    settings: Any = jax.config  # JAX creates its fields at import
    wanted = {"jax_optimization_level": "O1", "jax_enable_compilation_cache": False}
    before = {name: getattr(settings, name) for name in wanted if hasattr(settings, name)}
    for name in before:
        settings.update(name, wanted[name])
    try:
        yield
    finally:
        for name, value in before.items():
            settings.update(name, value)
