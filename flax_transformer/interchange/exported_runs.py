"""Export of a trained model with its tokenizer, its search, its classes and a model card."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.tokens.exported_tokenizer import (
    Reading,
    special_roles,
    tokenizer_files,
)
from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, write_experiment
from flax_transformer.interchange import generation_settings, pixel_settings
from flax_transformer.interchange.exported_folders import write_json, write_model
from flax_transformer.interchange.generation_settings import differences, write_decoding
from flax_transformer.interchange.model_card import Run, find_kind, write_card
from flax_transformer.interchange.sentence_vectors import VectorSettings, write_vector_settings
from flax_transformer.tasks.tagging.tagging_task import TaggingConfig
from flax_transformer.tasks.text_embedding.text_embedding_task import TextEmbeddingConfig
from flax_transformer.training.assemble import Weights, open_run
from flax_transformer.whole_files import written_whole_folder

EXPERIMENT = "experiment.json"
# Of special tokens whose ids config.json has.
ROLES = ("pad", "bos", "eos", "sep")
MOVED_WINDOW = (
    "a text is at most {limit} tokens long there; here it goes on from the last half of these"
)


class Exported(NamedTuple):
    """What was written.

    Attributes:
        family: the kind of model.
        use: lines of Python that load it.
        differences: what transformers does in another way.
    """

    family: str
    use: list[str]
    differences: list[str]


def export_run(
    workdir: str | Path,
    out: str | Path,
    *,
    weights: Weights = "average",
    family: str | None = None,
    dtype: str = "float32",
) -> Exported:
    """Writes the model of a workdir as a folder that `transformers` loads.

    It holds the model, its tokenizer, how outputs are searched for, how images are read, and a
    model card, README.md. Logits and ids of tokens there are those of the model here.

    Args:
        workdir: folder of a training, or of an import.
        out: a new or an empty folder.
        weights: see `ft.load`.
        family: a name in `FAMILIES`; None: the first one that can hold the model.
        dtype: type of the tensors, float32, float16 or bfloat16.

    Raises:
        UserError: says in one line what cannot be written. Nothing is written then.
    """
    run: Run = open_run(Path(workdir), weights)
    if find_kind(run) is None:
        what = f"a model to {run.task.command} {run.experiment.model.reads}"
        raise UserError(f"{workdir} holds {what}: no family has such models")
    with written_whole_folder(Path(out), "--out") as folder:
        is_trained = run.steps != [0]
        config = _with_room(run.experiment) if is_trained else run.experiment.model
        options = {"family": family, "dtype": dtype, "others": _model_settings(run)}
        name = write_model(folder, config, run.variables, **options)
        for file, contents in files_of_task(run).items():
            (folder / file).write_bytes(contents)
        notes = _differences(run, config)
        if run.experiment.decoding is not None:
            write_json(folder / generation_settings.FILE, _generation(run, config))
        if isinstance(run.experiment.task, TextEmbeddingConfig):
            write_vector_settings(folder, _vector_settings(run), config.d_model)
        if config.reads == "images":
            write_json(folder / pixel_settings.FILE, pixel_settings.write_pixels(config))
        if is_trained:
            write_experiment(folder / EXPERIMENT, _portable(run.experiment))
        use = write_card(folder, run, Path(workdir), Path(out), notes)
    return Exported(name, use, notes)


def _with_room(experiment: Any) -> Any:
    """The config of the model, with rows for the longest text that it reads or writes.

    Only a learned table limits texts here, but every model of another system has a limit.
    """
    config = experiment.model
    if config.reads == "images" or config.position_limit() is not None:
        return config
    extra = experiment.decoding.max_extra_length if experiment.decoding is not None else 0
    longest = getattr(experiment.data, "max_length", 0) + extra
    return dataclasses.replace(config, max_positions=max(config.max_positions, longest))


def _reading(run: Run) -> Reading:
    gives = run.experiment.model.gives
    return Reading(
        max_length=run.experiment.data.max_length,
        has_begin=gives == "vectors",
        has_end=gives != "next_tokens",
        has_mask=run.task.command == "fill",
        goes_on=gives == "next_tokens",
    )


def files_of_task(run: Run) -> dict[str, bytes]:
    """Makes the files of the model's tokenizer by name; of a model without one, no files."""
    tokenizer = getattr(run.task, "tokenizer", None)
    return {} if tokenizer is None else tokenizer_files(tokenizer, _reading(run))


def _model_settings(run: Run) -> dict[str, Any]:
    """The keys of config.json that are not about the function of the model."""
    settings = _ids(run)
    if run.experiment.model.gives == "target_tokens":
        # Their configs would force other ids.
        settings["forced_eos_token_id"] = None
    names = list(getattr(run.task, "class_names", getattr(run.task, "tags", ())))
    if names:
        settings["id2label"] = {str(number): name for number, name in enumerate(names)}
        settings["label2id"] = {name: number for number, name in enumerate(names)}
    return settings


def _ids(run: Run) -> dict[str, Any]:
    """Ids of special tokens, as config.json and generation_config.json name them."""
    tokenizer = getattr(run.task, "tokenizer", None)
    if tokenizer is None:
        return {}
    roles = special_roles(tokenizer, _reading(run))
    ids: dict[str, Any] = {f"{role}_token_id": roles[role] for role in roles if role in ROLES}
    if run.experiment.model.gives == "target_tokens":
        first, *forced = tokenizer.start_ids
        ids["decoder_start_token_id"] = first
        ids["forced_bos_token_id"] = forced[0] if forced else None
    return ids


def _generation(run: Run, config: Any) -> dict[str, Any]:
    """The contents of generation_config.json; `config` is that of the exported model."""
    experiment, tokenizer = run.experiment, run.task.tokenizer
    settings = {key: value for key, value in _ids(run).items() if value is not None}
    continues = experiment.model.gives == "next_tokens"
    if continues or isinstance(tokenizer, PublishedTokenizer):
        settings["bad_words_ids"] = [[number] for number in tokenizer.never_written] or None
    settings = {key: value for key, value in settings.items() if value is not None}
    return settings | write_decoding(experiment.decoding) | _limit(run, config)


def _vector_settings(run: Run) -> VectorSettings:
    task = run.experiment.task
    return VectorSettings(task.pooling, task.normalize, run.experiment.data.max_length)


def _limit(run: Run, config: Any) -> Mapping[str, int]:
    """The largest length of an output; ours of a translation depends on its source."""
    experiment = run.experiment
    longest, extra = experiment.data.max_length, experiment.decoding.max_extra_length
    if experiment.model.gives == "next_tokens":
        longest = _longest(run, config)
        return {"max_new_tokens": extra} if extra < longest else {"max_length": longest}
    return {"max_new_tokens": min(longest + extra, config.max_positions)}


def _longest(run: Run, config: Any) -> int:
    """Tokens of a text of the exported model; that of an imported one is the model's own."""
    return config.max_positions if run.steps == [0] else run.experiment.data.max_length


def _differences(run: Run, config: Any) -> list[str]:
    experiment = run.experiment
    found = [] if experiment.decoding is None else differences(experiment.decoding)
    model = experiment.model
    if model.gives == "next_tokens":
        found.append(MOVED_WINDOW.format(limit=f"{_longest(run, config):,}"))
    if isinstance(experiment.task, TaggingConfig):
        found.append("every token has a tag there; that of a word is the tag of its first token")
    if model.reads == "images":
        found.append("an image of another shape is squeezed there; here its center is cut out")
        color = experiment.data.background
        found.append(f"transparency is left out there; here {color} is behind it")
        if model.num_channels == 1:
            found.append("images there must be gray, such as image.convert('L') of Pillow")
    return found


def _portable(experiment: Experiment) -> Experiment:
    """The experiment without the folders of this machine: only names of files are left."""
    data = experiment.data
    names = ("manual_dir", "data_dir", *data.PATHS, *data.COPIED_PATHS)
    paths: dict[str, Any] = {
        name: Path(path).name for name in names if (path := getattr(data, name)) is not None
    }
    lists = {
        name: tuple(Path(path).name for path in getattr(data, name)) for name in data.PATH_LISTS
    }
    source = experiment.init_from and Path(experiment.init_from).name
    data = dataclasses.replace(data, **paths, **lists)
    return dataclasses.replace(experiment, data=data, init_from=source)
