"""Low-rank adaptation (LoRA): few trained parameters beside frozen ones, merged before the model.

merge(base, adapters) = W + (alpha / rank) A B

A module gets W as ever, so no module, task or command knows of adapters.
"""

import dataclasses
import functools
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PRNGKeyArray

from flax_transformer.errors import UserError, unknown
from flax_transformer.functional.low_rank import add_low_rank
from flax_transformer.models.stacking import LAYER_NAME
from flax_transformer.training.lora_config import LoraConfig
from flax_transformer.training.optimizer.parameter_paths import KERNEL, Path, kernel_axes

A, B = "lora_a", "lora_b"  # beside the kernel that they change


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("params",), meta_fields=("config",)
)
@dataclasses.dataclass(frozen=True)
class Base:
    """The parameters of a model that no update changes, and how adapters change some of them.

    Attributes:
        params: all parameters of the model except those that are trained in full.
        config: rank, scale and targets of the adapters.
    """

    params: Any
    config: LoraConfig

    def divide(self, params: Any, rng: PRNGKeyArray) -> Any:
        """Returns what is trained of a model: new adapters, and the parameters that the base lacks.

        A is uniform in (-1 / sqrt(inputs), 1 / sqrt(inputs)), as in the package PEFT. B is zero, so
        the model is at first that of the base.

        Args:
            params: parameters of the model, or their shapes under `jax.eval_shape`.
            rng: key of the adapters.
        """
        flat, own = _flat(params), _flat(self.params)
        trained = {path: leaf for path, leaf in flat.items() if path not in own}
        for number, path in enumerate(sorted(targeted(own, self.config.chosen))):
            key = jax.random.fold_in(rng, number)
            module = path[:-1]
            trained[*module, A], trained[*module, B] = _draw(path, flat, self.config.rank, key)
        return unflatten_dict(trained)

    def merge(self, trained: Any) -> Any:
        """Returns the parameters of the model: the inverse of `divide`, with the adapters added."""
        merged, given = _flat(self.params), _flat(trained)
        for path, leaf in given.items():
            kernel = (*path[:-1], KERNEL)
            if path[-1] == A:
                up = given[*path[:-1], B]
                add = functools.partial(add_low_rank, scale=self.config.scale)
                # Layers and experts, if they are stacked.
                for _ in range(leaf.ndim + up.ndim - 2 - merged[kernel].ndim):
                    add = jax.vmap(add)
                merged[kernel] = add(merged[kernel], leaf, up)
            elif path[-1] != B:
                merged[path] = leaf
        return unflatten_dict(merged)


def merged(variables: Mapping[str, Any], base: Base | None) -> Mapping[str, Any]:
    """Returns the variables that a model is called with; without a base they are the given ones."""
    return variables if base is None else {**variables, "params": base.merge(variables["params"])}


def divided(shapes: Any, base: Base | None) -> Any:
    """Returns the shapes of the variables that a training with a base changes."""
    if base is None:
        return shapes
    params = jax.eval_shape(base.divide, shapes["params"], jax.random.key(0))
    return {**shapes, "params": params}


def freeze(variables: Mapping[str, Any], fresh: Collection[str], config: LoraConfig) -> Base:
    """Decides what of a model is trained.

    Adapters are added to the targets. Parameters that are new or that `config.trained` names are
    trained in full; everything else is frozen.

    Args:
        variables: of the model.
        fresh: names of those that no other run has given, such as "params/classifier/kernel".
        config: names of targets, and of further trained parts.

    Raises:
        UserError: if a name is of no part, or no target is left.
    """
    flat = _flat(variables["params"])
    kernels = [path for path in flat if path[-1] == KERNEL]
    _check_names("targets", config.chosen, (path[:-1] for path in kernels))
    _check_names("trained", config.trained, flat)
    kept = {
        path: leaf
        for path, leaf in flat.items()
        if "/".join(("params", *path)) not in fresh and not {*config.trained} & {*path}
    }
    targets = targeted(kept, config.chosen)
    if not targets:
        raise UserError(
            f"--training.lora.targets {' '.join(config.chosen)}: all of them are trained in full; "
            "give others, or leave --training.lora.rank out"
        )
    for path in targets:
        smaller = min(map(math.prod, kernel_axes(path, kept)[1:]))
        if config.rank > smaller:
            raise UserError(
                f"--training.lora.rank {config.rank} is more than the {smaller} rows or columns "
                f"of {'/'.join(path[:-1])}: give a smaller one, such as 8"
            )
    return Base(unflatten_dict(kept), config)


def targeted(paths: Iterable[Path], names: Collection[str]) -> list[Path]:
    """Returns the paths of the kernels with one of the names among their modules."""
    return [path for path in paths if path[-1] == KERNEL and {*names} & {*path[:-1]}]


def describe(params: Any, base: Base | None) -> str:
    """Says how many parameters are trained, and of a base which ones.

    Args:
        params: the trained parameters.
        base: the others, if any.
    """
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    if base is None:
        return f"{number:,} parameters"
    whole = {path: leaf for path, leaf in _flat(params).items() if path[-1] not in (A, B)}
    total = sum(leaf.size for leaf in (*jax.tree.leaves(base.params), *whole.values()))
    config = base.config
    said = f"LoRA rank {config.rank} on {', '.join(config.chosen)}"
    if whole:
        said += f"; in full: {', '.join(sorted({path[0] for path in whole}))}"
    return f"trained: {number:,} of {total:,} parameters ({said})"


def _flat(params: Any) -> dict[Path, Any]:
    """Returns parameters by their paths."""
    flat: Any = flatten_dict(params)
    return flat


def _draw(
    path: Path, params: Mapping[Path, Any], rank: int, key: PRNGKeyArray
) -> tuple[jax.Array, jax.Array]:
    """Returns A and B of a kernel."""
    kernel = params[path]
    leading, inputs, outputs = kernel_axes(path, params)
    bound = math.prod(inputs) ** -0.5
    down = jax.random.uniform(key, (*leading, *inputs, rank), kernel.dtype, -bound, bound)
    return down, jnp.zeros((*leading, rank, *outputs), kernel.dtype)


def _check_names(field: str, names: Iterable[str], paths: Iterable[Path]) -> None:
    known = {name for path in paths for name in path}
    for name in names:
        if name not in known:
            # Not every layer by its number.
            shown = {name for name in known if not LAYER_NAME.fullmatch(name)}
            raise unknown(f"--training.lora.{field}", name, shown)
