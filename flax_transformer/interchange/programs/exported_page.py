"""Export of a trained model as one HTML file that runs it in a browser."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.errors import UserError
from flax_transformer.interchange.model_card import Run
from flax_transformer.interchange.programs.compared_programs import Comparison
from flax_transformer.interchange.programs.exported_programs import (
    compare_with_model,
    position_limit,
    refusal,
    special_tokens,
)
from flax_transformer.interchange.programs.model_page import model_page
from flax_transformer.interchange.programs.model_programs import (
    DECODE,
    NotHeldError,
    Program,
    model_programs,
    plain,
)
from flax_transformer.interchange.programs.page_engine import PageEngine
from flax_transformer.interchange.programs.page_examples import (
    first_examples,
    outputs_of_model,
    outputs_of_page,
)
from flax_transformer.interchange.programs.page_graphs import pack_programs
from flax_transformer.interchange.programs.page_tokenizers import page_tokenizer
from flax_transformer.tasks.task import Variables
from flax_transformer.training.assemble import Weights, open_run
from flax_transformer.whole_files import check_target, written_whole

PAGE = "page"
# What the page has forms for.
COMMANDS = ("translate", "generate", "classify")
# A browser reads the weights as text, and computes in 32 bits.
MOST_WEIGHTS = 50_000_000
# Of a comparison; and those that the page shows to try.
NUM_EXAMPLES, NUM_SHOWN = 32, 5
LARGEST_SHOWN_IMAGE = 64 * 64 * 3


class ExportedPage(NamedTuple):
    """What was written, and how far it agrees.

    Attributes:
        num_bytes: of the file.
        num_weight_bytes: of the weights in it.
        comparison: of the page with the model that has the same rounded weights.
        number: of examples of the data whose outputs were compared too.
        num_equal: outputs that are the same as those of the model with the same rounded weights.
        num_changed: outputs that the model has not with weights of 32 bits.
        lacks: what kept examples from being read; empty if they were.
    """

    num_bytes: int
    num_weight_bytes: int
    comparison: Comparison
    number: int
    num_equal: int
    num_changed: int
    lacks: str


def export_page(
    workdir: str | Path,
    out: str | Path,
    *,
    weights: Weights = "average",
    num_examples: int = NUM_EXAMPLES,
) -> ExportedPage:
    """Writes the model of a workdir as a page that runs it in any browser, without a network.

    The weights in the page have 16 bits. What was written is run by the engine of Chromium, and
    compared with the model that has the same rounded weights, and with the model itself.

    Args:
        workdir: folder of a training, or of an import.
        out: the HTML file.
        weights: see `ft.load`.
        num_examples: of the data, whose outputs are compared.

    Raises:
        UserError: if a page cannot hold the model, or computes something else. Nothing is written
            then.
    """
    out = Path(out)
    check_target(out, "page", "--out")
    if out.exists():
        raise UserError(f"--out {out} is there already: give another name")
    run: Run = open_run(Path(workdir), weights, dtype="float32")
    _check(run, workdir)
    task, variables = plain(run.task, run.variables)
    rounded = in_half(variables)
    programs = model_programs(task, attends=True)
    try:
        described, contents = pack_programs(programs, rounded)
    except NotHeldError as error:

        def pack(other: Any) -> None:
            pack_programs(model_programs(other, attends=True), rounded)

        raise UserError(refusal(PAGE, task, pack, error)) from error
    examples, lacks = _examples(task, num_examples)
    page = described | _page(run, programs, examples)
    engine = PageEngine(page, contents)
    comparison = compare_with_model(PAGE, task, rounded, programs, engine.run)
    outputs = [outputs_of_model(task, each, examples) for each in (rounded, variables)]
    shown = outputs_of_page(engine, task, examples)
    text = model_page(_title(run, workdir), page, contents)
    with written_whole(out) as file:
        file.write_text(text, "utf-8")
    return ExportedPage(
        num_bytes=out.stat().st_size,
        num_weight_bytes=len(contents),
        comparison=comparison,
        number=len(examples),
        num_equal=sum(map(str.__eq__, shown, outputs[0])),
        num_changed=sum(map(str.__ne__, *outputs)),
        lacks=lacks,
    )


def in_half(variables: Variables) -> Variables:
    """Rounds variables to 16 bits; their type remains float32.

    Raises:
        UserError: if a number is too large for 16 bits.
    """

    def of_array(path: Any, array: Any) -> Any:
        if array.dtype != np.float32:
            return array
        array = np.asarray(array)
        with np.errstate(over="ignore"):
            half = array.astype(np.float16).astype(np.float32)
        if not np.isfinite(half).all():
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise UserError(
                f"--format page keeps weights in 16 bits, which cannot hold {np.abs(array).max():g}"
                f" of {name}: give --format onnx"
            )
        # As JAX has them, so that functions compiled for one fit the other.
        return jnp.asarray(half)

    return jax.tree_util.tree_map_with_path(of_array, variables)


def describe_page(out: Path, exported: ExportedPage) -> list[str]:
    """Returns lines that say what was written, how far it agrees, and how to use it."""
    megabytes = exported.num_bytes / 1e6
    kilobytes = (exported.num_bytes - 4 * exported.num_weight_bytes / 3) / 1e3
    difference, num_equal, number = exported.comparison
    lines = [
        f"{out} holds the model in {megabytes:.1f} MB, {kilobytes:.0f} kB of them without weights",
        "compared with the model that has the same weights in 16 bits: largest relative difference "
        f"{difference:.1e}, {num_equal} of {number} largest logits the same",
    ]
    if exported.lacks:
        lines.append(f"no outputs for examples were compared: {exported.lacks}")
    else:
        lines.append(
            f"outputs for {exported.number} examples of the data: {exported.num_equal} are those "
            f"of this model, and {exported.num_changed} differ from those with weights in 32 bits"
        )
    return [*lines, "open it in a browser; it needs no network"]


def _check(run: Run, workdir: str | Path) -> None:
    """Rejects models that a page cannot show."""
    command, reads = run.task.command, run.task.takes[0].replace("tokens", "texts")
    if command not in COMMANDS or reads == "videos":
        raise UserError(
            f"--format page cannot {command} {reads}, as {workdir} does: give --format onnx"
        )
    number = sum(array.size for array in jax.tree.leaves(run.variables))
    if number > MOST_WEIGHTS:
        raise UserError(
            f"--format page holds at most {MOST_WEIGHTS:,} weights, but {workdir} has {number:,}: "
            "give --format onnx"
        )


def _examples(task: Any, number: int) -> tuple[list[Any], str]:
    try:
        return first_examples(task, number), ""
    except (UserError, OSError) as error:
        return [], str(error)


def _title(run: Run, workdir: str | Path) -> str:
    return (run.experiment.data.dataset or Path(workdir).name).replace("_", " ")


def _page(run: Run, programs: dict[str, Program], examples: Sequence[Any]) -> dict[str, Any]:
    """What the scripts must know besides the programs."""
    experiment, task = run.experiment, run.task
    config, tokenizer = experiment.model, getattr(run.task, "tokenizer", None)
    number = sum(array.size for array in jax.tree.leaves(run.variables))
    page = {
        "task": task.command,
        "about": f"From {task.description}: {number:,} weights of 16 bits, exported by "
        f"flax_transformer {version('flax_transformer')}",
        "position_limit": position_limit(config),
        "pools_first": getattr(config, "pooling", "") in ("class_token", "first"),
        "examples": _examples_to_try(examples),
    }
    if DECODE in programs:
        decode = programs[DECODE]
        kinds = {name: decode.inputs[name] for name in decode.cache}
        page["cache"] = {
            name: {"dtype": kind.dtype, "shape": kind.axes} for name, kind in kinds.items()
        }
    if task.command == "generate":
        decoding = experiment.decoding
        page["length"] = decoding.max_extra_length
        page["temperature"] = decoding.temperature if decoding.method == "sample" else 0
    if tokenizer is not None:
        page["tokens"] = special_tokens(run, tokenizer)
        try:
            page["tokenizer"] = page_tokenizer(tokenizer)
        except NotHeldError as error:
            raise UserError(f"--format page cannot hold {error}: give --format onnx") from error
    else:
        page["image"] = [*config.image_size, config.num_channels]
        page["patches"] = config.grid()
        page["background"] = _background(examples)
    if task.command == "classify":
        page["classes"] = list(task.class_names)
    return page


def _examples_to_try(examples: Sequence[Any]) -> list[Any]:
    """A few short texts, or small images as lists of pixels."""
    if examples and not isinstance(examples[0], str):
        is_small = np.size(examples[0]) <= LARGEST_SHOWN_IMAGE
        return [np.ravel(image).tolist() for image in examples[: NUM_SHOWN * is_small]]
    texts = dict.fromkeys(text.strip() for text in examples if text.strip())
    return sorted(texts, key=len)[:NUM_SHOWN]


def _background(examples: Sequence[Any]) -> int:
    """The level, black or white, that is nearer to the edges of images."""
    if not examples:
        return 0
    images = np.stack(examples)
    edges = np.concatenate([images[:, [0, -1]].ravel(), images[:, :, [0, -1]].ravel()])
    return 255 if np.median(edges) > 127 else 0
