"""Scores of a model without one of its heads, feed-forward networks or layers."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.inspection.activations import activation_shapes, activations, patched
from flax_transformer.inspection.layer_names import layer_outputs
from flax_transformer.tasks.task import Task, Variables

OpenTask: TypeAlias = Callable[..., Task]
# Fields of configs that count the layers of a stack; a model has the first of these that it has.
_COUNTS = {
    "encoder": ("num_encoder_layers", "num_layers"),
    "decoder": ("num_decoder_layers", "num_layers"),
    "time_encoder.encoder": ("num_time_layers",),
}


class Part(NamedTuple):
    """A part of a model that can be taken away.

    Attributes:
        kind: such as "encoder.attention", "decoder.feed_forward" or "decoder.layer".
        layer: number, from 0.
        head: number, from 0; None if it is not a head.
    """

    kind: str
    layer: int
    head: int | None = None

    def __str__(self) -> str:
        """Names the part in words.

        Example:
            >>> str(Part("decoder.cross_attention", 1, 3))
            'decoder 1 cross-attention head 3'
        """
        stack, _, kind = self.kind.rpartition(".")
        words = f"{stack} {self.layer} {kind.replace('_', '-')}"
        return words if self.head is None else f"{words} head {self.head}"


@dataclasses.dataclass
class Ablation:
    """A task whose model can be scored without some of its parts.

    A head without its part of the sum has its output set to zero before the output projection, or
    to its mean over the batches of a split; likewise the output of a feed-forward network.

    Attributes:
        task: with a model without `scan_layers`.
        variables: of its model.
        split: to score on.
        means: value that replaces each activation; None: zero.
    """

    task: Task
    variables: Variables
    split: str | OwnFiles = "validation"
    means: Mapping[str, Array] | None = None

    def __post_init__(self) -> None:
        """Finds the activations of heads and feed-forward networks."""
        shapes = activation_shapes(
            self.task.model, self.variables, self.task.given(), method=self.task.method
        )
        self._layers = layer_outputs(shapes)
        self._shapes = {name: x.shape for name, x in shapes.items() if _kind(name)}

    def parts(self) -> list[Part]:
        """Returns all heads and feed-forward networks."""
        found = []
        for name, shape in self._shapes.items():
            kind, layer = _kind(name)
            heads = range(shape[-2]) if name.endswith(".heads") else [None]
            found += [Part(kind, layer, head) for head in heads]
        return found

    def variables_without(self, part: Part | None) -> dict[str, Any]:
        """Returns variables with which the model computes without a part.

        One compiled program serves all parts, and the whole model (None): only numbers differ.
        """
        patch = {name: self._patch(name, part) for name in self._shapes}
        task = self.task
        return patched(task.model, self.variables, task.given(), patch, method=task.method)

    def scores(self) -> dict[str, float]:
        """Computes the scores of the whole model, in the same program as those without a part."""
        return _values(self.task, self.variables_without(None), self.split)

    def without(self, part: Part) -> dict[str, float]:
        """Computes the scores without a part."""
        return _values(self.task, self.variables_without(part), self.split)

    def _patch(self, name: str, part: Part | None) -> Any:
        kind, layer = _kind(name)
        keep = jnp.ones(self._shapes[name][-2:-1] if name.endswith(".heads") else ())
        if part is not None and part[:2] == (kind, layer):
            keep = keep.at[... if part.head is None else part.head].set(0.0)
        mean = jnp.zeros(()) if self.means is None else self.means[name]
        return jax.tree_util.Partial(_mixed, keep, mean)

    def without_layers(self, open_task: OpenTask) -> Iterator[tuple[Part, dict[str, float]]]:
        """Yields the scores without each layer: those of a model that does not have it.

        Stacks of one layer, and of layers with different options, are left out.

        Args:
            open_task: opens the same task with changed fields of the model's config.
        """
        config = self.task.model.config
        for stack, outputs in self._layers.items():
            field = next(x for x in _COUNTS.get(stack, _COUNTS["encoder"]) if hasattr(config, x))
            if len(outputs) < 2 or config.period() > 1:
                continue
            task = open_task(**{field: getattr(config, field) - 1})
            for layer in range(len(outputs)):
                remaining = without_layer(self.variables, stack, layer)
                yield Part(f"{stack}.layer", layer), _values(task, remaining, self.split)


def _values(task: Task, variables: Variables, split: str | OwnFiles) -> dict[str, float]:
    return {name: score.value for name, score in task.measure(variables, split).items()}


def by_kind(effects: Mapping[Part, float]) -> dict[str, Float[np.ndarray, "layers parts"]]:
    """Arranges a number of each part by kind, layer and head, as `plot_ablation` draws them.

    Example:
        >>> effects = {Part("decoder.feed_forward", layer): 0.5 for layer in range(2)}
        >>> {kind: grid.tolist() for kind, grid in by_kind(effects).items()}
        {'decoder.feed_forward': [[0.5], [0.5]]}
    """
    grids: dict[str, np.ndarray] = {}
    for kind in dict.fromkeys(part.kind for part in effects):
        parts = [part for part in effects if part.kind == kind]
        layers = 1 + max(part.layer for part in parts)
        heads = 1 + max(part.head or 0 for part in parts)
        grids[kind] = np.zeros((layers, heads))
        for part in parts:
            grids[kind][part.layer, part.head or 0] = effects[part]
    return grids


def mean_outputs(task: Task, variables: Variables, split: str) -> dict[str, Float[Array, "..."]]:
    """Computes the mean of the outputs of every head and feed-forward network over a split.

    Args:
        task: with a model without `scan_layers`.
        variables: of its model.
        split: its batches are those of a training, and padding does not count.

    Returns:
        Name of the activation -> [heads, head_dim] or [d_model].
    """
    names = ("*.heads", "*.feed_forward_residual.sublayer_output")

    @jax.jit
    def sums(variables: Variables, inputs: Any) -> tuple[Any, Any]:
        found = activations(task.model, variables, inputs, names, method=task.method)
        weights = {name: _is_token(name, value, inputs) for name, value in found.items()}
        totals = {
            name: jnp.einsum("bl,bl...->...", weights[name].astype(value.dtype), value)
            for name, value in found.items()
        }
        return totals, {name: weight.sum() for name, weight in weights.items()}

    batches, total = task.batches(split), None
    for step in range(batches.batches_per_epoch):
        found = sums(variables, task.given(batches[step]))
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    assert total is not None
    return {name: value / jnp.maximum(total[1][name], 1) for name, value in total[0].items()}


def _is_token(name: str, value: Array, inputs: Mapping[str, Array]) -> Array:
    """Whether each position of an activation holds a token; all do without segments."""
    side = "target_segments" if name.startswith("decoder.") else "source_segments"
    segments = inputs.get(side, inputs.get("segments"))
    return jnp.ones(value.shape[:2], bool) if segments is None else segments != 0


def without_layer(variables: Variables, stack: str, layer: int) -> dict[str, Any]:
    """Returns the variables of a model that lacks a layer; those after it move up.

    Example:
        >>> layers = {"params": {f"encoder_{i}": i for i in range(3)}}
        >>> without_layer(layers, "encoder", 1)
        {'params': {'encoder_0': 0, 'encoder_1': 2}}
    """
    *parts, side = stack.split(".")

    def remove(tree: Mapping[str, Any], path: list[str]) -> dict[str, Any]:
        if path:
            inner = tree.get(path[0])
            return {**tree, path[0]: remove(inner, path[1:])} if inner is not None else dict(tree)
        kept: dict[str, Any] = {}
        for name, value in tree.items():
            match = re.fullmatch(rf"{side}_(\d+)", name)
            number = int(match[1]) if match else -1
            if not match or number < layer:
                kept[name] = value
            elif number > layer:
                kept[f"{side}_{number - 1}"] = value
        return kept

    return {name: remove(collection, parts) for name, collection in variables.items()}


def _kind(name: str) -> Any:
    """The kind and the layer of a head's or a feed-forward network's output; else None."""
    match = re.fullmatch(r"(.*)\.(\d+)\.(\w*attention)\.heads", name) or re.fullmatch(
        r"(.*)\.(\d+)\.(feed_forward)_residual\.sublayer_output", name
    )
    return (f"{match[1]}.{match[3]}", int(match[2])) if match else None


def _mixed(keep: Array, mean: Array, value: Array) -> Array:
    """Keeps the values where `keep` is 1, and replaces them by the mean where it is 0."""
    keep = keep[..., None].astype(value.dtype)
    return keep * value + (1 - keep) * mean.astype(value.dtype)
