"""The tables of `flax-transformer plan`."""

import math
from typing import Any

from rich.console import Console

from flax_transformer.console import show_table
from flax_transformer.training.mesh_shape import mesh_sizes
from flax_transformer.training.planning.suggested_meshes import Suggestion, received
from flax_transformer.training.planning.training_plan import EFFICIENCIES, Plan

MANY_MESHES = 10


def show_plan(plan: Plan, console: Console) -> None:
    """Prints what a training needs."""
    mesh = ", ".join(f"{axis} {size}" for axis, size in plan.mesh.items() if size > 1)
    title = f"a step on {plan.topology}, {plan.num_devices} {plan.device} device(s)"
    rows = {
        "mesh": mesh or "one device",
        "parameters": f"{plan.parameters:,}",
        "largest batch": _batch(plan),
        "operations": f"{plan.flops:.3g} FLOPs a step, over all devices",
        "time": _time(plan),
        **_memory(plan),
    }
    if plan.most_rows is not None:
        rows["largest batch that fits"] = f"{plan.most_rows:,} rows"
    show_table(console, title, {name: {"value": value} for name, value in rows.items()})
    if plan.step.traffic:
        show_table(
            console, "what devices send to each other: results on one device", _traffic(plan)
        )


def show_ranked(suggestion: Suggestion, console: Console) -> None:
    """Prints the best meshes, with what the compiler says about the first of them."""
    compiled = {tuple(plan.mesh.values()): plan for plan in suggestion.plans}
    rows = {}
    for one in suggestion.ranked[:MANY_MESHES]:
        plan = compiled.get(tuple(mesh_sizes(one.mesh, suggestion.plans[0].num_devices).values()))
        rows[one.mesh] = {
            "state": _bytes(one.state),
            "activations": _bytes(one.activations),
            "received": _bytes(one.messages),
            "compiled: peak": _peak(plan) if plan else "",
            "compiled: received": _received(plan) if plan else "",
        }
    number = len(suggestion.ranked)
    title = f"{len(rows)} of {number} meshes, ranked by a formula: bytes on a device in a step"
    show_table(console, title, rows)


def _peak(plan: Plan) -> str:
    memory = plan.step.memory
    return _bytes(memory.peak) if memory and plan.fits else "does not fit"


def _received(plan: Plan) -> str:
    total = received(plan)
    return _bytes(int(total)) if plan.fits and math.isfinite(total) else ""


def _batch(plan: Plan) -> str:
    # Segments only tell tokens from padding.
    shown = {name: shape for name, shape in plan.batch.items() if "segments" not in name}
    return ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shown.items())


def _time(plan: Plan) -> str:
    if plan.seconds is None:
        return "not predicted: the peak of a CPU is not known"
    fastest, slowest = plan.seconds
    low, high = min(EFFICIENCIES), max(EFFICIENCIES)
    return f"{fastest:.3g} to {slowest:.3g} s, assuming {high:.0%} to {low:.0%} of the peak FLOPs"


def _memory(plan: Plan) -> dict[str, str]:
    memory, available = plan.step.memory, _bytes(plan.device_memory)
    if memory is None:
        return {"memory of a device": f"does not fit: {plan.step.reason}"}
    fits = "fits in" if plan.fits else "does not fit in"
    return {
        "arguments": f"{_bytes(memory.arguments)} a device",
        "temporary": f"{_bytes(memory.temporary)} a device",
        "peak": f"{_bytes(memory.peak)} a device: {fits} {available}",
    }


def _traffic(plan: Plan) -> dict[str, dict[str, Any]]:
    return {
        f"{kind}{', in loops' if in_loop else ''}": {
            "number": found.operations,
            "bytes": f"{_bytes(found.bytes_once)} each iteration"
            if found.bytes_a_step is None
            else f"{_bytes(found.bytes_a_step)} a step",
        }
        for (kind, in_loop), found in sorted(plan.step.traffic.items())
    }


def _bytes(number: int) -> str:
    """Formats a number of bytes.

    Example:
        >>> _bytes(1_770_000_000), _bytes(53_248), _bytes(12)
        ('1.77 GB', '53.2 kB', '12 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return (
                f"{number / size:.3g} {unit}"
                if number < 1000 * size
                else f"{number / size:,.0f} {unit}"
            )
    return f"{number} bytes"
