"""Files of sentence-transformers in a published folder: how vectors of texts are made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.files.limited_files import read_limited_text
from flax_transformer.errors import UserError
from flax_transformer.interchange.safetensors_files import read_json

MODULES = "modules.json"
TOKENS, PROMPTS = "sentence_bert_config.json", "config_sentence_transformers.json"
TYPES = "sentence_transformers.models"  # where their modules are
LARGEST = 1_000_000  # bytes of a file
# Their names of poolings, and ours.
POOLING_MODES = {"mean": "mean", "max": "max", "cls": "first"}
# An older form has a key for each, of which one is true.
OLDER = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class VectorSettings(NamedTuple):
    """How a folder makes vectors of texts.

    Attributes:
        pooling: a name in `POOLINGS`.
        normalize: whether vectors have length 1.
        max_length: tokens that are read at a time; None: as many as the model can.
        files: names of the files that say so.
    """

    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None
    files: tuple[str, ...] = ()


def read_vector_settings(folder: Path) -> VectorSettings:
    """Reads how vectors of texts are made; the defaults if the folder does not say it.

    Args:
        folder: of a published model.

    Raises:
        UserError: if vectors are made in a way that is not known here.
    """
    if not (folder / MODULES).is_file():
        return VectorSettings()
    kinds = _read_modules(folder / MODULES)
    if list(kinds) not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UserError(
            f"{folder / MODULES} lists {', '.join(kinds)}: only a Transformer, a Pooling and a "
            "Normalize after each other are read"
        )
    pooling = Path(kinds["Pooling"]) / "config.json"
    inner = Path(kinds["Transformer"]) / TOKENS
    files = [name for name in (str(inner), PROMPTS) if (folder / name).is_file()]
    limit = None
    if str(inner) in files:
        limit = _read_limit(folder / inner)
    if PROMPTS in files:
        _refuse_prompts(folder / PROMPTS)
    mode = _read_mode(folder / pooling)
    return VectorSettings(mode, "Normalize" in kinds, limit, (MODULES, str(pooling), *files))


def write_vector_settings(folder: Path, settings: VectorSettings, d_model: int) -> None:
    """Writes how vectors of texts are made: the inverse of `read_vector_settings`.

    Args:
        folder: of an exported model.
        settings: to write.
        d_model: numbers of a vector.
    """
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    if not settings.normalize:
        del kinds["Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": kinds[kind], "type": f"{TYPES}.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    pooling: dict[str, Any] = {
        key: POOLING_MODES.get(mode) == settings.pooling for key, mode in OLDER.items()
    }
    for name, contents in (
        (MODULES, modules),
        ("1_Pooling/config.json", {"word_embedding_dimension": d_model, **pooling}),
        (TOKENS, {"max_seq_length": settings.max_length, "do_lower_case": False}),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(contents, indent=2) + "\n", "utf-8")


def _read_modules(path: Path) -> dict[str, str]:
    """The kinds of the modules in their order, each with its folder."""
    text = read_limited_text(path, LARGEST)
    try:
        kinds = {each["type"].rpartition(".")[2]: str(each["path"]) for each in json.loads(text)}
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged: it is not a list of modules") from error
    if any(".." in place or Path(place).is_absolute() for place in kinds.values()):
        raise UserError(f"{path} names a folder outside of its own")
    return kinds


def _read_mode(path: Path) -> str:
    settings: Mapping[str, Any] = read_json(path, LARGEST)
    older = [name for key, name in OLDER.items() if settings.get(key)]
    mode = settings.get("pooling_mode", older or ["mean"])
    modes = [mode] if isinstance(mode, str) else mode
    if not isinstance(modes, list) or len(modes) != 1 or modes[0] not in POOLING_MODES:
        raise UserError(
            f"{path}: the pooling is {mode}, but only {', '.join(POOLING_MODES)} are known"
        )
    return POOLING_MODES[modes[0]]


def _read_limit(path: Path) -> int | None:
    settings = read_json(path, LARGEST)
    if settings.get("do_lower_case"):
        raise UserError(f"{path}: do_lower_case is true: set it in tokenizer_config.json instead")
    limit = settings.get("max_seq_length")
    if limit is not None and (type(limit) is not int or limit < 2):
        raise UserError(
            f"{path}: max_seq_length is {limit}: it must be a whole number of at least 2"
        )
    return limit


def _refuse_prompts(path: Path) -> None:
    settings = read_json(path, LARGEST)
    if name := settings.get("default_prompt_name"):
        raise UserError(
            f"{path}: default_prompt_name is {name}, a prompt before every text: write it into the "
            "texts, and remove the key"
        )
