"""Export of adapters: what a training of LoRA changed, as a folder that the package PEFT loads."""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from flax_transformer.errors import UserError, unknown
from flax_transformer.interchange.exported_folders import find_family, write_json
from flax_transformer.interchange.published_folders import axes_of
from flax_transformer.interchange.rules import Rule, to_theirs
from flax_transformer.interchange.safetensors_output import write_file
from flax_transformer.models.stacking import unstack_layers
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.lora import A, B, Base
from flax_transformer.whole_files import check_new_folder, written_whole_folder

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."  # of the model within that of PEFT
TASK_TYPES = {"next_tokens": "CAUSAL_LM", "target_tokens": "SEQ_2_SEQ_LM"}

OneCheckpoint = Literal["best", "last"]


class Factors(NamedTuple):
    """The two matrices of an adapter of one of their tensors.

    Attributes:
        down: lora_A [rank, inputs].
        up: lora_B [outputs, rank].
        is_transposed: whether the tensor is [inputs, outputs].
    """

    down: np.ndarray
    up: np.ndarray
    is_transposed: bool


def export_adapter(
    workdir: str | Path,
    folder: str | Path,
    *,
    weights: OneCheckpoint = "best",
    family: str | None = None,
    base_model: str | None = None,
) -> str:
    """Writes the adapters of a training, and what it trained in full, for the package PEFT.

    The mean of several checkpoints has no low rank, so one checkpoint is taken.

    Args:
        workdir: of a training with `training.lora`.
        folder: a new or an empty folder.
        weights: the checkpoint with the best validation score, or the last one.
        family: see `export_folder`.
        base_model: name or folder of the model that the adapters belong to, for PEFT.

    Returns:
        The name of the family.

    Raises:
        UserError: if the training has no adapters, or if something that was trained has no place
            in PEFT. Nothing is written then.
    """
    folder = Path(folder)
    check_new_folder(folder, "--out")
    config, trained, base = _read(Path(workdir), weights)
    return write_adapter(config, trained, base, folder, family=family, base_model=base_model)


def write_adapter(
    config: Any,
    trained: Any,
    base: Base,
    folder: Path,
    *,
    family: str | None = None,
    base_model: str | None = None,
) -> str:
    """Writes trained parameters as an adapter of PEFT; see `export_adapter`.

    Args:
        config: of our model.
        trained: adapters, and parameters that are trained in full.
        base: the others.
        folder: to be made.
        family: see `export_folder`.
        base_model: see `export_adapter`.
    """
    collections = {"trained": trained, "params": base.merge(trained)}
    if config.scan_layers:
        collections = unstack_layers(collections)
    flat, ours = (
        flatten_dict(jax.tree.map(np.asarray, collections[name]), sep="/")
        for name in ("trained", "params")
    )
    fitting, sizes = find_family(config, ours, family), axes_of(config)
    factors: dict[str, Factors] = {}
    for rule in fitting.rules:
        factors |= _factors(rule, flat, fitting.ours, sizes)
    whole = {path for path in flat if path.rpartition("/")[2] not in (A, B)}
    if "embedding/table" in whole and getattr(config, "tied_logits", False):
        raise UserError("embedding/table is also that of the logits, which PEFT would not change")
    saved: dict[str, np.ndarray] = {}
    for rule in _saved(fitting.rules, whole, factors):
        arrays = [fitting.ours[name] for name in rule.our_names()]
        saved |= zip(rule.their_names(), to_theirs(rule, arrays, sizes), strict=True)
    settings = _settings(base, factors, {_module(name) for name in saved})
    settings |= {"task_type": TASK_TYPES.get(config.gives), "base_model_name_or_path": base_model}
    tensors = _tensors(factors, saved)
    kinds = {name: (np.dtype(x.dtype), x.shape) for name, x in tensors.items()}
    with written_whole_folder(folder, "--out") as unfinished:
        write_file(unfinished / WEIGHTS, kinds, iter(tensors.items()))
        write_json(unfinished / CONFIG, settings)
    return fitting.name


def _read(path: Path, weights: OneCheckpoint) -> tuple[Any, Any, Base]:
    """Returns the config of a trained model, what was trained, and its base."""
    if weights not in get_args(OneCheckpoint):
        raise unknown("--weights", weights, get_args(OneCheckpoint))
    workdir = Workdir(path)
    experiment = workdir.load()
    task = find_task(experiment)[1].open(experiment, path, training=False)
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    with closing(open_checkpoints(workdir, experiment.training, is_reader=True)) as checkpoints:
        if checkpoints.base is None:
            raise UserError(f"{path} holds no adapters: train with --training.lora.rank 8")
        best = checkpoints.best_step() if weights == "best" else None
        step = checkpoints.steps()[-1] if best is None else best
        variables = jax.tree.map(np.asarray, checkpoints.saved_variables(shapes, step))
        if further := sorted(variables.keys() - {"params"}):
            raise UserError(f"variables of {', '.join(further)} have no place in another system")
        return experiment.model, variables["params"], checkpoints.base


def _factors(
    rule: Rule,
    trained: Mapping[str, Any],
    ours: Mapping[str, Any],
    sizes: Mapping[str, int],
) -> dict[str, Factors]:
    """Returns the adapters of the tensors of a rule by their names; none if ours have none.

    A rule only moves numbers. So a kernel that holds the number of each of its places shows where
    they go: which input and which output of which kernel a place of their tensor is. Several
    kernels of one tensor have their ranks one after the other.
    """
    names = rule.our_names()
    modules = [name.rpartition("/")[0] for name in names]
    adapted = {
        number: (trained[f"{module}/{A}"], trained[f"{module}/{B}"])
        for number, module in enumerate(modules)
        if f"{module}/{A}" in trained
    }
    if not adapted or not names[0].endswith("/kernel"):
        return {}
    shape = ours[names[0]].shape
    size = math.prod(shape)
    places = [number * size + np.arange(size).reshape(shape) for number in range(len(names))]
    down, up = next(iter(adapted.values()))
    found = {}
    for name, place in zip(rule.their_names(), to_theirs(rule, places, sizes), strict=True):
        if down.ndim + up.ndim - 2 != len(shape) or place.ndim != 2:
            raise UserError(f"{name} is not one matrix, as PEFT needs it for an adapter")
        found[name] = _factors_of(place, size, adapted)
    return found


def _factors_of(
    place: np.ndarray, size: int, adapted: Mapping[int, tuple[np.ndarray, np.ndarray]]
) -> Factors:
    """Returns the adapter of one tensor.

    Args:
        place: for each of its numbers, the place in our kernels, which are numbered through.
        size: of each of our kernels.
        adapted: A and B of our kernels by their numbers.
    """
    down, up = next(iter(adapted.values()))
    rank, num_outputs = down.shape[-1], math.prod(up.shape[1:])
    kernel, within = np.divmod(place, size)
    row, column = np.divmod(within, num_outputs)
    is_transposed = bool((row == row[:, :1]).all())
    if is_transposed:
        kernel, row, column = kernel.T, row.T, column.T
    assert (row == row[:1]).all(), "inputs must not depend on outputs"
    assert (column == column[:, :1]).all(), "outputs must not depend on inputs"
    ups = np.zeros((len(column), rank * len(adapted)), up.dtype)
    for index, (number, (_, its_up)) in enumerate(adapted.items()):
        its = kernel[:, 0] == number
        ranks = slice(index * rank, (index + 1) * rank)
        ups[its, ranks] = its_up.reshape(rank, -1).T[column[its, 0]]
    downs = [its_down.reshape(-1, rank).T[:, row[0]] for its_down, _ in adapted.values()]
    return Factors(np.concatenate(downs), ups, is_transposed)


def _tensors(
    factors: Mapping[str, Factors], saved: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns all tensors by the names that PEFT gives them."""
    tensors = {}
    for name, pair in factors.items():
        module = PREFIX + name.removesuffix(".weight")
        tensors[f"{module}.lora_A.weight"] = pair.down
        tensors[f"{module}.lora_B.weight"] = pair.up
    return tensors | {PREFIX + name: tensor for name, tensor in saved.items()}


def _saved(rules: Sequence[Rule], whole: set[str], adapted: Mapping[str, Any]) -> list[Rule]:
    """Returns the rules of what is trained in full, which PEFT saves by whole modules."""
    saved = [rule for rule in rules if whole & {*rule.our_names()}]
    modules = {_module(name) for rule in saved for name in rule.their_names()}
    for rule in rules:
        for name in rule.their_names():
            around = [module for module in modules if name.startswith(f"{module}.")]
            if around and (rule not in saved or name in adapted):
                raise UserError(
                    f"{around[0]} is trained only in part, but PEFT saves whole modules: {name} "
                    "is frozen or has an adapter"
                )
    return saved


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _settings(base: Base, factors: Mapping[str, Factors], saved: set[str]) -> dict[str, Any]:
    """Returns the contents of adapter_config.json."""
    rank, scale = base.config.rank, base.config.scale
    ranks = {_module(name): len(pair.down) for name, pair in factors.items()}
    others = {name: number for name, number in ranks.items() if number != rank}
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": base.config.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(pair.is_transposed for pair in factors.values()),
        "inference_mode": True,
        "target_modules": sorted(ranks),
        "modules_to_save": sorted(saved) or None,
        "rank_pattern": others,
        "alpha_pattern": {name: scale * number for name, number in others.items()},
    }
