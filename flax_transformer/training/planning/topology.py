"""The devices to plan for: TPUs that this machine does not have, or simulated devices."""

import contextlib
import importlib.util
import math
import os
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from flax_transformer.errors import UserError, unknown
from flax_transformer.training.mesh_devices import MeshDevices

GIB = 2**30
CPU = "cpu"
OPTION = "--topology"
_FORCED = "--xla_force_host_platform_device_count"


class Chip(NamedTuple):
    """A kind of TPU.

    Attributes:
        num_axes: of a topology: 2 for v5e:4x4, 3 for v5p:2x2x4.
        memory_gib: high-bandwidth memory of a chip.
        peak_flops: floating-point operations of a chip in a second, in bfloat16.
        accelerator: the name of a machine with eight of its cores, which libtpu wants to know.
    """

    num_axes: int
    memory_gib: int
    peak_flops: float
    accelerator: str


# Google Cloud's documentation, "System architecture": cloud.google.com/tpu/docs/NAME for
# NAME v4, v5e, v5p, v6e, each with a table "HBM capacity" and "Peak compute per chip (bf16)".
_CHIPS = {
    "v4": Chip(3, 32, 275e12, "v4-8"),
    "v5e": Chip(2, 16, 197e12, "v5litepod-8"),
    "v5p": Chip(3, 95, 459e12, "v5p-8"),
    "v6e": Chip(2, 32, 918e12, "v6e-8"),
}


class LayoutError(UserError):
    """A mesh that JAX cannot lay out on the chips of a topology."""


class Topology(NamedTuple):
    """Devices for which a program can be compiled.

    Attributes:
        name: such as "v5e:4x4".
        kind: of a device, as JAX names it.
        devices: to compile for; nothing can run on those of a topology of TPUs.
        memory: bytes of one device; for simulated devices, their share of this machine's.
        peak_flops: operations of one device in a second, in bfloat16; None if it is not known.
    """

    name: str
    kind: str
    devices: list[Any]
    memory: int
    peak_flops: float | None

    def mesh(self, mesh: str, is_mapped: bool = False) -> MeshDevices:
        """Arranges the devices as a mesh; see `MeshDevices`.

        Raises:
            LayoutError: if an axis is not the product of some axes of the chips.
        """
        try:
            return MeshDevices(self.devices, mesh, is_mapped)
        except NotImplementedError as error:
            raise LayoutError(
                f"{OPTION} {self.name} has no place for the mesh {mesh}: make each size the "
                "product of some of its axes"
            ) from error


def start_no_accelerator() -> None:
    """Keeps this process from taking the machine's accelerators, which it does not need."""
    settings: Any = jax.config  # JAX creates its fields at import
    settings.update("jax_platforms", CPU)


def find_topology(name: str) -> Topology:
    """Describes the devices of a topology.

    Args:
        name: a kind of TPU with the chips along each axis, such as v5e:4x4 or v5p:2x2x4, or cpu:8
            for eight simulated devices.

    Raises:
        UserError: if the name is unknown, libtpu is missing or refuses the topology, or the process
            already has fewer simulated devices.
    """
    kind, _, sizes = name.partition(":")
    if kind not in {CPU, *_CHIPS}:
        raise unknown("--topology kind", kind, [CPU, *_CHIPS])
    num_axes = _CHIPS[kind].num_axes if kind in _CHIPS else 1
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", sizes) or sizes.count("x") + 1 != num_axes:
        example = {1: f"{CPU}:8", 2: f"{kind}:4x4", 3: f"{kind}:2x2x4"}[num_axes]
        number = "the number of devices" if kind == CPU else f"the chips along {num_axes} axes"
        raise UserError(f"{OPTION} {name}: give {number}, such as {example}")
    if kind == CPU:
        return _simulated(name, int(sizes))
    return _slice(name, kind, [int(size) for size in sizes.split("x")])


def _simulated(name: str, number: int) -> Topology:
    if _FORCED not in os.environ.get("XLA_FLAGS", ""):
        # Too late if the devices have started.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", number)
    devices = jax.devices(CPU)
    if len(devices) < number:
        raise UserError(
            f"{OPTION} {name}: this process has {len(devices)} simulated devices: begin it with "
            f"XLA_FLAGS={_FORCED}={number}"
        )
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Topology(name, devices[0].device_kind, devices[:number], whole // number, None)


def _slice(name: str, kind: str, sizes: list[int]) -> Topology:
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"{OPTION} {name} needs libtpu, TPU's compiler, on Linux: pip install "
            "'flax_transformer[plan]'"
        )
    from jax.experimental import topologies

    chip, num_chips = _CHIPS[kind], math.prod(sizes)
    # A machine has four chips, 2x2, or one. JAX requires that a chip is one device; a v4 has two
    # cores, and has to be asked for it.
    options: dict[str, Any] = {"chips_per_host_bounds": (1, 1, 1)} if num_chips == 1 else {}
    if kind == "v4":
        options["chip_config_name"] = "megacore"
    with _without_tpu(chip):
        try:
            found = topologies.get_topology_desc(name, platform="tpu", **options)
        except jax.errors.JaxRuntimeError as error:
            reason = str(error).splitlines()[0].partition(": ")[2].rstrip(".")
            raise UserError(f"{OPTION} {name} is refused ({reason}): give other sizes") from error
    devices = list(found.devices)
    return Topology(name, devices[0].device_kind, devices, chip.memory_gib * GIB, chip.peak_flops)


@contextlib.contextmanager
def _without_tpu(chip: Chip) -> Iterator[None]:
    """Keeps libtpu from asking for the machine's own TPUs, which it may not have."""
    wanted = {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": chip.accelerator,
        "TPU_WORKER_HOSTNAMES": "localhost",
        # Several processes may compile at once, as none of them takes a TPU.
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    new = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for key in new:
            del os.environ[key]
