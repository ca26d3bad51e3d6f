"""Scoring a trained model on a split, and keeping the figures with all that made them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.evaluation.report import Record, write_scores
from flax_transformer.modules.layer_options import ComputeType
from flax_transformer.tasks.task import Scored
from flax_transformer.training.assemble import Weights, open_run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.data_fingerprints import DataFiles


def evaluate(
    path: str | Path,
    split: str | OwnFiles | None = None,
    *,
    command: Sequence[str] = (),
    weights: Weights = "average",
    decoding: DecodingConfig | None = None,
    dtype: ComputeType | None = None,
    task_options: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Record, Scored]:
    """Scores a model on a split or on other files, and writes scores and outputs into the workdir.

    Args:
        path: the workdir of a training.
        split: of its data set, or a user's own files; the held-out split if not given.
        command: the words of the command line, if there is one, kept with the scores.
        weights: which checkpoints; see `load`.
        decoding: how to search; the training's own settings if not given.
        dtype: type of the computation; see `load`.
        task_options: fields of the task's config to replace, such as `bleu_tokenizer`.

    Returns:
        What was written into the folder "scores", and all that was scored.

    Raises:
        UserError: if the folder holds no trained model or the data set no such split, or the files
            do not fit the model, cannot be read, or are no longer those that were trained on.
    """
    path = Path(path)
    run = open_run(path, weights, decoding, dtype, task_options)
    if split is None:
        split = str(run.experiment.data.held_out_split)
    files = split if isinstance(split, OwnFiles) else None
    if isinstance(split, str):
        # Scores of other files would not compare with those of the training.
        DataFiles(path, run.experiment.data).check()
    scored = run.task.evaluate(run.variables, split)
    decoding = run.experiment.decoding
    record = Record(
        split=split if isinstance(split, str) else None,
        decoding=decoding and dataclasses.asdict(decoding),
        dtype=run.experiment.model.dtype,
        checkpoint_step=run.steps[-1],
        num_averaged=len(run.steps),
        scores=scored.scores,
        details=dict(scored.details),
        files=files.paths() if files else {},
        command=command,
        seed=run.experiment.seed,
    )
    name = f"{files.name() if files else split}-{weights}"
    if decoding is not None:
        name += f"-{decoding.method}"
        name += f"{decoding.beam_size}" if decoding.method == "beam" else ""
    name += "".join(
        f"-{changed}" for changed in (dtype, *task_options.values()) if changed is not None
    )
    folder = Workdir(path).scores
    write_scores(folder / f"{name}.json", record)
    if scored.outputs:
        outputs = "".join(" ".join(text.splitlines()) + "\n" for text in scored.outputs)
        (folder / f"{name}.txt").write_text(outputs, encoding="utf-8")
    return record, scored
