"""Causal tracing: which layer and position carry the difference between two inputs."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flax_transformer.inspection.activations import activation_shapes, activations, run_with
from flax_transformer.inspection.layer_names import layer_outputs
from flax_transformer.tasks.task import Task, Variables

ROWS = 64  # patched copies of the input in one pass


class Trace(NamedTuple):
    """How much of a difference each activation carries.

    Attributes:
        shares: name of a stack of layers, such as "encoder" -> [layers, positions]; name of a kind
            of attention, such as "decoder.cross_attention" -> [layers, heads]. 0: the log-
            probability stays that of the corrupted input; 1: it becomes that of the clean one.
        clean: log-probability of the target for the clean input, in nats.
        corrupted: for the corrupted input.
    """

    shares: dict[str, Float[np.ndarray, "layers places"]]
    clean: float
    corrupted: float


def trace(
    task: Task,
    variables: Variables,
    clean: Mapping[str, Array],
    corrupted: Mapping[str, Array],
    log_prob: Callable[[Array], Float[Array, " rows"]],
) -> Trace:
    """Carries activations of a clean input into the pass of a corrupted one, each by itself.

    share = (log_prob(patched) - log_prob(corrupted)) / (log_prob(clean) - log_prob(corrupted))

    The activations are the residual stream after each layer, at each position, and the output of
    each head, at all positions. Where a model of videos reads several sequences, such as the places
    of each time, a position is that of all of them.

    Args:
        task: with a model without `scan_layers`.
        variables: of its model.
        clean: arguments of the model for one example.
        corrupted: arguments of the same shapes.
        log_prob: from outputs of several rows to the log-probability of the target in each, such
            as `output_log_prob` makes it.

    Returns:
        The shares; not finite if both inputs give the same log-probability.

    Reference:
        Meng et al. 2022, "Locating and Editing Factual Associations in GPT", section 2.
    """
    shapes = activation_shapes(task.model, variables, clean, method=task.method)
    grids = _grids({name: shape.shape for name, shape in shapes.items()})
    names = [name for names in grids.values() for name in names]
    source = activations(task.model, variables, clean, names, method=task.method)

    @jax.jit
    def run(variables: Any, source: Any, number: Array, place: Array) -> Float[Array, " rows"]:
        patch = {
            name: jax.tree_util.Partial(_carried, source[name], number == index, place)
            for index, name in enumerate(names)
        }
        rows = {key: jnp.repeat(x, len(number), axis=0) for key, x in corrupted.items()}
        return log_prob(run_with(task.model, variables, rows, patch, method=task.method))

    asked = [
        (names.index(name), place)
        for of_grid in grids.values()
        for name in of_grid
        for place in range(_num_places(name, shapes[name].shape))
    ]
    found = _in_blocks(run, variables, source, [*asked, (-1, 0)])
    outputs = task.model.apply(variables, **clean, method=task.method)
    best, worst = float(log_prob(outputs)[0]), float(found[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (found[:-1] - worst) / np.float64(best - worst)
    # As asked: grid by grid, and within a grid layer by layer.
    sizes = [
        len(of_grid) * _num_places(of_grid[0], shapes[of_grid[0]].shape)
        for of_grid in grids.values()
    ]
    parts = zip(grids, np.split(shares, np.cumsum(sizes)[:-1]), strict=True)
    return Trace({grid: part.reshape(len(grids[grid]), -1) for grid, part in parts}, best, worst)


def _grids(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[str]]:
    """The activations of each grid: of stacks of layers, then of kinds of attention."""
    grids = dict(layer_outputs(shapes))
    for name in shapes:
        module, _, own = name.rpartition(".")
        if own == "heads":
            stack, _, attention = module.rsplit(".", 2)
            grids.setdefault(f"{stack}.{attention}", []).append(name)
    return grids


def _num_places(name: str, shape: tuple[int, ...]) -> int:
    """Heads of attention, or positions of a residual stream."""
    return shape[2] if name.endswith(".heads") else shape[1]


def _carried(source: Array, is_here: Array, place: Array, value: Array) -> Array:
    """Takes one head or position of chosen rows from the source [sequences, positions, ...].

    The sequences of an input, such as the times of a video, are changed together.
    """
    by_row = value.reshape(len(place), -1, *value.shape[1:])
    is_of_heads = value.ndim == 4
    size = value.shape[2] if is_of_heads else value.shape[1]
    chosen = (jnp.arange(size) == place[:, None]) & is_here[:, None]
    chosen = chosen[:, None, None, :, None] if is_of_heads else chosen[:, None, :, None]
    return jnp.where(chosen, source, by_row).reshape(value.shape)


def _in_blocks(
    run: Callable[..., Array], variables: Variables, source: Any, asked: list[tuple[int, int]]
) -> np.ndarray:
    """Runs all patches in passes of the same size, so that one program computes all."""
    numbers, places = np.array(asked, np.int32).T
    rows = min(ROWS, len(numbers))
    filled = -len(numbers) % rows
    numbers, places = np.pad(numbers, (0, filled)), np.pad(places, (0, filled))
    blocks = [
        run(variables, source, numbers[start : start + rows], places[start : start + rows])
        for start in range(0, len(numbers), rows)
    ]
    return np.concatenate([np.asarray(block, np.float64) for block in blocks])[: len(asked)]
