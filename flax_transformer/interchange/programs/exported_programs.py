"""Export of a trained model as programs that run without this package and without Flax."""

import contextlib
import copy
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from flax_transformer.errors import UserError, option, unknown
from flax_transformer.interchange.exported_folders import write_json
from flax_transformer.interchange.exported_runs import files_of_task
from flax_transformer.interchange.model_card import Run
from flax_transformer.interchange.programs.compared_programs import Comparison, compare
from flax_transformer.interchange.programs.model_programs import (
    Format,
    NotHeldError,
    Program,
    Runner,
    model_programs,
    plain,
)
from flax_transformer.interchange.programs.onnx_programs import ONNX
from flax_transformer.interchange.programs.stablehlo_programs import STABLEHLO
from flax_transformer.tasks.task import Variables
from flax_transformer.training.assemble import Weights, open_run
from flax_transformer.whole_files import written_whole_folder

DESCRIPTION = "programs.json"
LARGEST_DIFFERENCE = 1e-4
FORMATS = (STABLEHLO, ONNX)


class ExportedPrograms(NamedTuple):
    """What was written.

    Attributes:
        description: the contents of programs.json.
        comparison: of what was written with the model.
    """

    description: dict[str, Any]
    comparison: Comparison


def export_programs(
    workdir: str | Path, out: str | Path, form: str, *, weights: Weights = "average"
) -> ExportedPrograms:
    """Writes the model of a workdir as programs, runs them, and compares their outputs.

    The folder holds the programs, their weights, the files of the tokenizer, and programs.json,
    which describes inputs, outputs and special tokens. Everything is computed in float32.

    Args:
        workdir: folder of a training, or of an import.
        out: a new or an empty folder.
        form: stablehlo or onnx.
        weights: see `ft.load`.

    Raises:
        UserError: if the format cannot hold the model, or its outputs differ. Nothing is written
            then.
    """
    chosen = find_format(form)
    run: Run = open_run(Path(workdir), weights, dtype="float32")
    with written_whole_folder(Path(out), "--out") as folder:
        plain_task, variables = plain(run.task, run.variables)
        programs = model_programs(plain_task)
        try:
            writer = chosen.write(folder, programs, variables)
        except NotHeldError as error:

            def write(other: Any) -> None:
                with tempfile.TemporaryDirectory() as other_folder:
                    chosen.write(Path(other_folder), model_programs(other), variables)

            raise UserError(refusal(form, plain_task, write, error)) from error
        own = model_programs(run.task)
        comparison = compare_with_model(form, run.task, run.variables, own, chosen.open(folder))
        for file, contents in files_of_task(run).items():
            (folder / file).write_bytes(contents)
        outputs = {
            name: jax.eval_shape(program.function, variables, program.symbolic_inputs())
            for name, program in programs.items()
        }
        described = _described(run, programs, outputs, chosen.suffix)
        description = {"format": form, "written_by": writer, **described}
        write_json(folder / DESCRIPTION, description)
    return ExportedPrograms(description, comparison)


def find_format(name: str) -> Format:
    """Returns the format of a name.

    Raises:
        UserError: if there is none.
    """
    by_name = {each.name: each for each in FORMATS}
    if name not in by_name:
        raise unknown("--format", name, by_name)
    return by_name[name]


def describe(out: Path, exported: ExportedPrograms) -> list[str]:
    """Returns lines that say what a folder holds, how far it agrees, and how to use it."""
    description, (difference, num_equal, number) = exported
    form, writer = find_format(description["format"]), description["written_by"]
    names = " and ".join(f"{name}{form.suffix}" for name in description["programs"])
    by = ", ".join(f"{name} {writer[name]}" for name in form.versions)
    choices = f", {num_equal} of {number} largest logits the same" * (number > 0)
    return [
        f"{out} holds {names}, written by {by}",
        *form.notes,
        f"compared with the model: largest relative difference {difference:.1e}{choices}",
        f"{DESCRIPTION} there describes inputs, outputs and tokens; docs/guides/exporting.md shows "
        "how to run them",
    ]


def compare_with_model(
    form: str, task: Any, variables: Variables, programs: dict[str, Program], other: Runner
) -> Comparison:
    """Compares what was written with the model itself.

    Args:
        form: name of the format.
        task: a `Task` with the model.
        variables: of the model.
        programs: of the model, which JAX runs.
        other: runs what was written.

    Raises:
        UserError: if it computes something else.
    """
    functions = {name: jax.jit(program.function) for name, program in programs.items()}
    found = compare(
        programs,
        lambda name, inputs: functions[name](variables, inputs),
        other,
        vocab_size=getattr(task.model, "vocab_size", 0),
        limit=position_limit(task.model.config),
    )
    if found.difference > LARGEST_DIFFERENCE or found.num_equal < found.number:
        raise UserError(
            f"--format {form} computes something else: the largest relative difference is "
            f"{found.difference:.1e}, and {found.num_equal} of {found.number} largest logits are "
            "at the same place; nothing is written: report this model as a bug"
        )
    return found


def refusal(form: str, task: Any, write: Callable[[Any], None], error: NotHeldError) -> str:
    """Says what a format cannot hold; names the option of the model without which it could.

    Args:
        form: name of the format.
        task: a `Task` with the model, see `plain`.
        write: writes such a task, or fails.
        error: of the model.
    """
    config = task.model.config
    others = " or ".join(f"--format {each.name}" for each in FORMATS if each.name != form)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        other = copy.copy(task)
        with contextlib.suppress(Exception):
            changed = dataclasses.replace(config, **{field.name: field.default})
            other.model = task.model.clone(config=changed)
            write(other)
            given = f"{option(f'model.{field.name}')} {value}"
            break
    else:
        given = "this model"
    return f"--format {form} cannot hold {given}, which needs {error}: give {others}"


def position_limit(config: Any) -> int | None:
    """Returns the number of tokens that a model of this config reads; None: any number."""
    return config.position_limit() if config.reads == "tokens" else None


def _described(
    run: Run, programs: dict[str, Program], outputs: dict[str, Any], suffix: str
) -> dict[str, Any]:
    """Names, shapes and types of all inputs and outputs, and the ids that have a meaning."""
    described = {"task": run.task.command, "programs": {}}
    for name, program in programs.items():
        found = outputs[name].items()
        described["programs"][name] = {
            "file": f"{name}{suffix}",
            "inputs": {key: _kind(kind.axes, kind.dtype) for key, kind in program.inputs.items()},
            "outputs": {key: _kind(array.shape, array.dtype) for key, array in found},
            "cache": program.cache,
        }
    tokenizer = getattr(run.task, "tokenizer", None)
    if tokenizer is not None:
        described["tokens"] = special_tokens(run, tokenizer)
    if names := getattr(run.task, "class_names", getattr(run.task, "tags", ())):
        described["classes"] = list(names)
    return described


def _kind(axes: Any, dtype: Any) -> dict[str, Any]:
    shape = [axis if isinstance(axis, int) else str(axis) for axis in axes]
    return {"shape": shape, "dtype": str(dtype)}


def special_tokens(run: Run, tokenizer: Any) -> dict[str, Any]:
    """Returns the ids and lengths that a program's caller needs."""
    tokens = {"pad": tokenizer.pad_id, "max_length": run.experiment.data.max_length}
    gives = run.task.takes[1]
    if gives in ("target_tokens", "next_tokens"):
        tokens["end"] = list(tokenizer.end_ids)
        tokens["never_written"] = list(run.task.predictor(run.variables).never_written)
    if gives == "target_tokens":
        tokens["start"] = list(tokenizer.start_ids)
        tokens["max_extra_length"] = run.experiment.decoding.max_extra_length
    if run.task.command == "fill":
        tokens["mask"] = tokenizer.mask_id
    return tokens
