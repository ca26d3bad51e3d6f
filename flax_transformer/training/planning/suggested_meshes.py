"""Ranks the meshes for a training by a formula, and compiles the best."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from flax_transformer.errors import UserError
from flax_transformer.training.mesh_devices import MeshDevices
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.planned_training import PlannedTraining
from flax_transformer.training.planning.topology import LayoutError, Topology
from flax_transformer.training.planning.training_plan import Plan, compile_step, make_plan

NUM_COMPILED = 3
_FLOAT32 = 4
_SHARE = 0.8  # of the memory; the rest is for what the formula leaves out

# By --model.remat, numbers for each feature of a token that a layer keeps in two bytes: on every
# part of the axis tensor, cut over it, and whether the scores are kept.
_KEPT = {"none": (10, 24, 1), "attention": (10, 24, 0), "dots": (6, 14, 0), "all": (2, 0, 0)}


class Estimate(NamedTuple):
    """What a mesh needs, by a formula: enough to rank meshes, not to decide what fits.

    Attributes:
        mesh: sizes of its axes, as `--training.mesh` gives them.
        state: bytes of parameters, optimizer state and gradient on one device.
        activations: bytes of the activations that one device keeps for the gradient.
        messages: bytes that one device receives in a step.
    """

    mesh: str
    state: int
    activations: int
    messages: int

    @property
    def memory(self) -> int:
        """Bytes of state and activations together."""
        return self.state + self.activations


class Suggestion(NamedTuple):
    """The meshes that fit the number of rows.

    Attributes:
        ranked: all, the best first.
        plans: of the first ones, compiled, the best first; these may be in another order.
    """

    ranked: list[Estimate]
    plans: list[Plan]


class _Sizes(NamedTuple):
    """Sizes of a model and a batch, for the formulas."""

    num_layers: int
    width: int
    num_heads: int
    length: int
    num_rows: int
    num_bytes: int
    remat: str


def suggest_meshes(
    planned: PlannedTraining, topology: Topology, report: Callable[[str], None]
) -> Suggestion:
    """Ranks all meshes, and compiles the best.

    Args:
        planned: the training.
        topology: the devices.
        report: is given a line before each compilation.

    Raises:
        UserError: if no mesh cuts the rows evenly.
    """
    state = planned.state()
    available = _SHARE * topology.memory
    ranked = list[Estimate]()
    for mesh in _meshes(planned, topology):
        # One without a place among the chips is passed over.
        with contextlib.suppress(LayoutError):
            ranked.append(estimate(planned, state, topology, mesh))
    ranked.sort(key=lambda one: (one.memory > available, one.messages, one.memory))
    if not ranked:
        raise UserError(
            f"no mesh of {len(topology.devices)} devices cuts a batch of {planned.num_rows} rows "
            "evenly: give another --data.batch-size"
        )
    chosen, plans = ranked[:NUM_COMPILED], list[Plan]()
    for number, one in enumerate(chosen, 1):
        report(f"compiling {one.mesh} ({number} of {len(chosen)})")
        if not plans:
            plans.append(make_plan(planned, topology, one.mesh))
            continue
        mesh = mesh_sizes(one.mesh, len(topology.devices))
        step = compile_step(planned, topology, one.mesh)
        plans.append(dataclasses.replace(plans[0], mesh=mesh, step=step))
    return Suggestion(ranked, sorted(plans, key=lambda plan: (not plan.fits, received(plan))))


def received(plan: Plan) -> float:
    """Returns the bytes that a device receives in a step; infinite if they are not known.

    An all-reduce brings each result twice: parts are added, and the sums are gathered.
    """
    total = 0.0
    for (kind, _), one in plan.step.traffic.items():
        in_step = math.inf if one.bytes_a_step is None else one.bytes_a_step
        total += 2 * in_step if kind == "all-reduce" else in_step
    return total


def estimate(planned: PlannedTraining, state: Any, topology: Topology, mesh: str) -> Estimate:
    """Estimates what a mesh needs.

    With b rows of s tokens on a device, d_model h, L layers, a heads, P parameters, c bytes a
    number, and sizes d, f, t of the axes data, fsdp, tensor:

    activations = c / 2 b s h L (k_1 + k_2 / t + k_3 5 a s / (h t))

    messages = 8 P / (f t) [d > 1] + (3 + r) c P / t [f > 1] + (4 + 2 r) 2 c b s h L [t > 1]

    where r is 1 if whole layers are recomputed, else 0, and k_1, k_2, k_3 say what is kept. State
    and gradient follow from the rules of sharding.

    Reference:
        Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models",
        equation 2.
    """
    devices = topology.mesh(mesh)
    size = devices.mesh.shape
    sizes = _sizes(planned)
    on_device = sizes.num_rows // devices.num_shares * sizes.length * sizes.width * sizes.num_layers
    whole, cut, squares = _KEPT[sizes.remat]
    scores = 5 * sizes.num_heads * sizes.length / sizes.width
    kept = whole + (cut + squares * scores) / size["tensor"]
    activations = sizes.num_bytes / 2 * on_device * kept
    number = sum(x.size for x in jax.tree.leaves(state.params))
    again = int(sizes.remat == "all")
    messages = 0.0
    if size["data"] > 1:
        messages += 2 * _FLOAT32 * number / (size["fsdp"] * size["tensor"])
    if size["fsdp"] > 1:
        messages += (3 + again) * sizes.num_bytes * number / size["tensor"]
    if size["tensor"] > 1:
        messages += (4 + 2 * again) * 2 * sizes.num_bytes * on_device
    held = _held(devices, state) + _held(devices, state.params)
    return Estimate(mesh, held, round(activations), round(messages))


def _held(devices: MeshDevices, tree: Any) -> int:
    """Returns the bytes of a state or its parameters on one device."""
    places = jax.tree.leaves(devices.shardings(tree))
    return sum(
        math.prod(place.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf, place in zip(jax.tree.leaves(tree), places, strict=True)
    )


def _sizes(planned: PlannedTraining) -> _Sizes:
    config: Any = planned.experiment.model
    fields = [field.name for field in dataclasses.fields(config)]
    counts = [getattr(config, name) for name in fields if name.endswith("layers")]
    lengths = [x.shape[1] for x in jax.tree.leaves(planned.batch) if len(x.shape) == 2]
    return _Sizes(
        num_layers=sum(count for count in counts if type(count) is int),
        width=config.d_model,
        num_heads=config.num_heads,
        length=max(lengths, default=1),
        num_rows=planned.num_rows // planned.experiment.training.accumulate_steps,
        num_bytes=jax.numpy.dtype(config.dtype).itemsize,
        remat=config.remat,
    )


def _meshes(planned: PlannedTraining, topology: Topology) -> Iterator[str]:
    """Yields the meshes of all devices that cut the rows evenly."""
    number, rows = len(topology.devices), planned.num_rows
    parts = planned.experiment.training.accumulate_steps
    for data in _divisors(number):
        for fsdp in _divisors(number // data):
            if rows % (data * fsdp * parts) == 0:
                yield f"data={data},fsdp={fsdp},tensor={number // data // fsdp}"


def _divisors(number: int) -> list[int]:
    return [one for one in range(1, number + 1) if number % one == 0]
