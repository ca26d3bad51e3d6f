"""An experiment: one frozen dataclass, composed of the configs of the parts."""

import dataclasses
import functools
import json
import os
import re
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import cattrs

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import (
    UnknownPartError,
    UserError,
    check_number,
    option,
    unknown,
    unknown_part,
    unknown_path,
)
from flax_transformer.models.zoo import ZOO
from flax_transformer.modules.layer_options import ModelConfig, TransformerConfig
from flax_transformer.modules.observe import Remat
from flax_transformer.python_files import parts_hint, run_file
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig
from flax_transformer.whole_files import written_whole

VERSION = 2  # format of the JSON
BEFORE = "92f8e6a"  # commit that reads the JSON of the previous version


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All settings that determine the result of a training."""

    data: DataConfig = ParallelTextConfig()
    model: ModelConfig = ZOO["tiny"].config
    task: TaskConfig = TranslationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig | None = None
    """How outputs are searched for; the default settings if not given, None for a task without
    search."""
    seed: int = 0
    """Seed of the initial parameters, of dropout and of the order of the data."""
    init_from: str | None = None
    """Workdir of another run. Its weights initialize this run where they fit, and its tokenizer
    replaces that of this data. On the command line, its model replaces that of the experiment."""

    def __post_init__(self) -> None:
        """Fills in defaults of the task, and rejects parts that do not fit each other."""
        check_number("--seed", self.seed, 0)
        if self.init_from == "":
            raise UserError("--init-from is empty: give the workdir of a run, or leave it out")
        if self.init_from is not None and getattr(self.data, "tokenizer", None) is not None:
            raise UserError(
                f"--init-from {self.init_from} has its own tokenizer: leave --data.tokenizer out"
            )
        if self.training.lora.rank and self.init_from is None:
            raise UserError(
                f"--training.lora.rank {self.training.lora.rank} would keep random weights: give "
                "the workdir of the run to adapt as --init-from, or leave it out"
            )
        self._take_defaults()
        if not isinstance(self.model, TransformerConfig):
            return
        limit, max_length = self.model.position_limit(), getattr(self.data, "max_length", 0)
        if limit is not None and max_length > limit:
            raise UserError(
                f"--data.max-length {max_length} exceeds --model.max-positions {limit}, the rows "
                "of the table of positions: raise --model.max-positions"
            )

    def _take_defaults(self) -> None:
        # Imported here, as an experiment may be defined long before its task is needed.
        from flax_transformer.tasks.tasks import find_task

        name, task = find_task(self)
        score = self.training.best_score
        if score is None:
            training = dataclasses.replace(self.training, best_score=task.scores[0])
            object.__setattr__(self, "training", training)
        elif score not in task.scores:
            raise unknown(f"--training.best-score of {name}", score, task.scores)
        if task.searches and self.decoding is None:
            object.__setattr__(self, "decoding", DecodingConfig())
        if not task.searches and self.decoding is not None:
            raise UserError(f"{name} searches for nothing: give decoding=None")

    def with_absolute_paths(self) -> "Experiment":
        """The experiment with absolute paths, valid in any working folder."""
        source = self.init_from and os.path.abspath(os.path.expanduser(self.init_from))
        return dataclasses.replace(self, data=self.data.with_absolute_paths(), init_from=source)

    def to_json(self) -> dict[str, Any]:
        """Returns the experiment as plain data."""
        return {"version": VERSION} | _converter().unstructure(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Experiment":
        """Makes an experiment from the output of `to_json`.

        Raises:
            UserError: if it has another version, an unknown field or a value of a wrong type.
        """
        if not isinstance(data, dict):
            raise UserError(f"not an experiment of this version: no fields, but {data!r:.60}")
        fields = dict(data)
        version = fields.pop("version", None)
        if type(version) is not int or version != VERSION:
            known = f"is of version {version!r:.20}" if version else "is of the version before"
            raise UserError(
                f"not an experiment of this version: it {known}, this is version {VERSION}; git "
                f"commit {BEFORE} reads the version before"
            )
        try:
            return _converter().structure(fields, cls)
        except (cattrs.BaseValidationError, cattrs.StructureHandlerNotFoundError) as error:
            raise UserError("; ".join(_reasons(error))) from error


def write_experiment(path: Path, experiment: Experiment) -> None:
    """Writes the JSON that `read_experiment` reads, atomically."""
    with written_whole(path) as file:
        file.write_text(json.dumps(experiment.to_json(), indent=2) + "\n", encoding="utf-8")


def read_experiment(path: Path) -> Experiment:
    """Reads an experiment from its JSON; every workdir has this file.

    Raises:
        UserError: if the file does not hold an experiment.
    """
    try:
        return Experiment.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    except RecursionError as error:
        raise UserError(f"cannot read {path}: it is nested too deeply to be ours") from error


@functools.cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    # By default, cattrs converts 3.7 to 3 and "no" to True.
    for kind in (bool, int, str):
        converter.register_structure_hook(kind, _unchanged)
    converter.register_structure_hook(float, _number)
    # Earlier, layers were recomputed or not.
    converter.register_structure_hook_func(
        lambda kind: kind == Remat,
        lambda value, _: ("all" if value else "none") if type(value) is bool else value,
    )
    converter.register_structure_hook_func(
        lambda kind: get_args(kind)[1:] == (...,),
        lambda value, kind: _all(converter, value, get_args(kind)[0]),
    )
    converter.register_structure_hook_func(
        lambda kind: any(get_origin(one) is tuple for one in get_args(kind)),
        lambda value, kind: _any(converter, value, kind),
    )
    for base in (DataConfig, ModelConfig, TaskConfig):
        _tell_kinds_apart(converter, base)
    return converter


def _kinds(base: type) -> dict[str, type]:
    """The currently registered configs of a part, by the names of their classes."""
    from flax_transformer.tasks.tasks import TASKS

    found = {
        DataConfig: [config for task in TASKS.values() for config in task.reads],
        TaskConfig: [task.config for task in TASKS.values()],
        ModelConfig: [type(entry.config) for entry in ZOO.values()],
    }
    return {kind.__name__: kind for kind in found[base]}


def _tell_kinds_apart(converter: cattrs.Converter, base: type) -> None:
    """Writes the class of a part with its fields; a missing class means the default one."""
    default = next(field.default for field in dataclasses.fields(Experiment) if field.type is base)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise UserError(f"{value!r:.60} has no fields")
        fields, kinds = dict(value), _kinds(base)
        kind = fields.pop("kind", type(default).__name__)
        if not isinstance(kind, str) or kind not in kinds:
            raise unknown_part("kind", str(kind), kinds)
        return converter.structure(fields, kinds[kind])

    def unstructure(value: Any) -> dict[str, Any]:
        return {"kind": type(value).__name__} | converter.unstructure(value, type(value))

    converter.register_structure_hook_func(lambda kind: kind is base, structure)
    converter.register_unstructure_hook_func(lambda kind: kind is base, unstructure)


def _unchanged(value: Any, kind: Any) -> Any:
    if type(value) is not kind:
        raise UserError(f"{value!r:.60} is not of type {kind.__name__}")
    return value


def _number(value: Any, kind: Any) -> float:
    return float(value) if type(value) is int else _unchanged(value, kind)


def _all(converter: cattrs.Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    # Without this check, cattrs would split a string into letters.
    if not isinstance(value, list | tuple):
        raise UserError(f"{value!r:.60} is not a list")
    return tuple(converter.structure(one, kind) for one in value)


def _any(converter: cattrs.Converter, value: Any, kind: Any) -> Any:
    """Parses a value of one of several types, some of which are tuples."""
    if value is None and NoneType in get_args(kind):
        return None
    is_tuple = isinstance(value, list | tuple)
    fitting = (one for one in get_args(kind) if (get_origin(one) is tuple) == is_tuple)
    return converter.structure(value, next(one for one in fitting if one is not NoneType))


def _reasons(error: Exception) -> list[str]:
    """Returns what is wrong with the fields of an experiment, each with its option."""
    reasons = [
        _with_option(reason) for reason in cattrs.transform_error(error, format_exception=_reason)
    ]
    if isinstance(error, ExceptionGroup) and error.subgroup(UnknownPartError):
        reasons.append(parts_hint())
    return reasons


def _reason(error: BaseException, kind: Any) -> str:
    if isinstance(error, UserError):
        return str(error)
    return cattrs.v.format_exception(error, kind)


def _with_option(reason: str) -> str:
    """Writes the place of a reason, which cattrs calls `$.model.d_ff`, as its option.

    Example:
        >>> _with_option("invalid value for type, expected int @ $.model.d_ff")
        '--model.d-ff: invalid value for type, expected int'
    """
    said, _, field = re.sub(r" @ \$\.?([\w.]*).*$", r"\0\1", reason).partition("\0")
    return f"{option(field)}: {said}" if field and "--" not in said else said


def load_experiment(path: Path) -> Experiment:
    """Runs a Python file and returns its `experiment`, or reads one from JSON.

    Raises:
        UserError: if the file is missing, fails, or does not define an experiment.
    """
    if not path.is_file():
        beside = [*path.parent.glob("*.py")]
        if beside:
            raise unknown_path("experiment file", path, beside)
        raise UserError(f"no experiment file {path}: give a Python file that defines `experiment`")
    if path.suffix == ".json":
        return read_experiment(path)
    experiment = run_file(path).get("experiment")
    if not isinstance(experiment, Experiment):
        raise UserError(f"{path} defines no `experiment = Experiment(...)`: add one")
    return experiment
