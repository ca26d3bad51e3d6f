"""Import: a published folder as a workdir, which all commands use like that of a training."""

import contextlib
import json
import math
from pathlib import Path

from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.interchange.published_folders import read_parameters
from flax_transformer.interchange.published_runs import PublishedRun, open_published_run
from flax_transformer.interchange.used_parameters import unused_modules, used_parameters
from flax_transformer.training.assemble import open_checkpoints
from flax_transformer.training.checkpoints.kept_weights import weights_only
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.whole_files import check_new_folder, written_whole, written_whole_folder

SOURCE = "fetched_from.json"  # in the workdir of a model of the Hub


def import_folder(
    model: str | Path,
    workdir: str | Path,
    *,
    revision: str | None = None,
    languages: tuple[str | None, str | None] = (None, None),
) -> PublishedRun:
    """Writes a published model into a new workdir, as a checkpoint of step 0.

    Parameters become float32, so that a training can begin with them (`--init-from`).

    Args:
        model: see `from_pretrained`.
        workdir: a new or an empty folder. fetched_from.json in it gives the name and the commit of
            a model of the Hub.
        revision: see `from_pretrained`.
        languages: of sources and of translations, see `from_pretrained`.

    Returns:
        What was read.

    Raises:
        UserError: see `from_pretrained`; or if the workdir is not empty. Nothing is written then.
    """
    path = Path(workdir)
    check_new_folder(path, "--workdir")
    run = open_published_run(model, "float32", revision, languages)
    variables = read_parameters(run.model, "float32")
    params = used_parameters(run, variables["params"])
    with written_whole_folder(path, "--workdir") as unfinished:
        place = Workdir(unfinished)
        place.start(run.experiment)
        run.task.save(unfinished)
        if run.source.commit:
            write_source(run, unfinished / SOURCE)
        with contextlib.closing(open_checkpoints(place, run.experiment.training)) as checkpoints:
            checkpoints.save(weights_only(params), {})
    return run


def write_source(run: PublishedRun, path: Path) -> None:
    """Writes which model of the Hub was fetched: its name, revision and commit."""
    _, *fetched = run.source
    with written_whole(path) as file:
        file.write_text(json.dumps(dict(zip(run.source._fields[1:], fetched, strict=True))) + "\n")


def has_chat_template(run: PublishedRun) -> bool:
    """Whether the model can answer conversations."""
    tokenizer = getattr(run.task, "tokenizer", None)
    return isinstance(tokenizer, PublishedTokenizer) and bool(tokenizer.model.chat_template)


def describe(run: PublishedRun) -> list[str]:
    """Returns lines that say what was read."""
    number = sum(math.prod(shape) for shape in run.model.shapes.values())
    unused = unused_modules(run)
    name, commit = run.source.name, run.source.commit
    return [
        *([f"{name} at commit {commit}"] if commit else []),
        f"{run.model.family}: {number:,} parameters in {len(run.model.tensors)} tensors",
        f"read: {', '.join(dict.fromkeys(run.files))}",
        *([f"left out: {', '.join(unused)}, which this task does not use"] if unused else []),
    ]
