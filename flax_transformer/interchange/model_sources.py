"""Where a published model comes from: a folder, or Hugging Face's Hub."""

import difflib
import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.files.gguf_file import SUFFIX
from flax_transformer.errors import UserError, path_of, refuse
from flax_transformer.interchange.safetensors_files import PICKLES

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
# What is fetched: weights, settings, and files of tokenizers. Others may hold code.
FETCHED = ["model*.safetensors", "*.json", "*.model", "*.spm", "vocab.txt", "merges.txt", "*.jinja"]
# They hold the same models for other programs, but 1_Pooling says how vectors of texts are made.
SUBFOLDERS = ["[!1]*/*"]


class ModelSource(NamedTuple):
    """The folder of a model, and where it is from.

    Attributes:
        folder: on this machine.
        name: on the Hub, such as "openai-community/gpt2"; "" for a folder that was given.
        revision: that was asked for; "" for the newest.
        commit: that was fetched; "" for a folder that was given.
    """

    folder: Path
    name: str = ""
    revision: str = ""
    commit: str = ""


def find_model(model: str | os.PathLike[str], revision: str | None = None) -> ModelSource:
    """Finds the folder of a model; a name of the Hub is fetched.

    Only safetensors, JSON files, templates and the files of tokenizers are fetched, into the cache
    of the package huggingface_hub. What the cache has is not fetched again.

    Args:
        model: a folder, or OWNER/NAME.
        revision: branch, tag or commit of a model of the Hub; by default its main branch.

    Raises:
        UserError: if the model is not a path, it does not exist, it cannot be fetched, or
            huggingface_hub is not installed.
    """
    path = path_of("the model", model).expanduser()
    _refuse_others(os.fspath(model), path)
    if path.exists():
        if revision is not None:
            raise UserError(
                f"--revision {revision} is for a model of the Hub, but {path} is on this machine: "
                "leave it out"
            )
        return ModelSource(path)
    if not NAME.fullmatch(os.fspath(model)):
        way = _near(path) or "give a folder, or OWNER/NAME for a model of Hugging Face's Hub"
        raise UserError(f"no folder {path}: {way}")
    name = os.fspath(model)
    folder = _fetched(name, revision, _near(path))
    # The cache has a folder for each commit.
    return ModelSource(folder, name, revision or "", folder.name)


def _refuse_others(model: str, path: Path) -> None:
    """Rejects what is neither a folder of a published model nor a name of the Hub."""
    is_gguf = path.suffix == SUFFIX and path.is_file()
    is_workdir = (path / "experiment.json").is_file() and not (path / "config.json").is_file()
    refuse(
        [
            (not model, "the model is empty: give a folder, or OWNER/NAME for one of the Hub"),
            ("://" in model, f"{model} is an address: give only its OWNER/NAME, or a folder"),
            (
                path.suffix in PICKLES and path.is_file(),
                f"{path} may run any code when it is read: give a folder with safetensors",
            ),
            (
                path.exists() and not path.is_dir() and not is_gguf,
                f"{path} is not a folder: give the folder with config.json and safetensors",
            ),
            (
                is_workdir,
                f"{path} is already a workdir: use it by --workdir {path}, or ft.load",
            ),
        ]
    )


def _fetched(name: str, revision: str | None, near: str) -> Path:
    download, errors = _library(name, near)
    way = f"; {near}" if near else ""
    try:
        folder = download(
            name, revision=revision, allow_patterns=FETCHED, ignore_patterns=SUBFOLDERS
        )
    except errors.GatedRepoError:
        raise UserError(
            f"{name} asks for an agreement: accept it at https://huggingface.co/{name}, and run "
            "hf auth login"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"no folder {name}, and no such model on the Hub: correct the name, or run "
            f"hf auth login if it is private{way}"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{name} has no --revision {revision}: give a branch, a tag or a commit that "
            f"https://huggingface.co/{name}/commits/main lists"
        ) from None
    except errors.HFValidationError as error:
        raise UserError(f"{name} is not a name of the Hub ({_line(error)}): correct it") from None
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"no folder {name}, and the Hub cannot be reached: connect this machine to the "
            f"network, or give a folder{way}"
        ) from None
    except Exception as error:  # of the library for HTTP, which differs by release
        raise UserError(
            f"{name} was not fetched ({type(error).__name__}: {_line(error)}): try again; files "
            "that are complete are kept"
        ) from error
    if not any(Path(folder).glob("*.safetensors")):
        raise UserError(
            f"{name} has no safetensors on the Hub: give a --revision that has them, or, where you "
            "trust its pickles, convert it by AutoModel.from_pretrained(NAME).save_pretrained(OUT) "
            "of transformers, with the model's own class, and give OUT"
        )
    return Path(folder)


def _library(name: str, near: str) -> tuple[Callable[..., str], Any]:
    """The function that fetches a model, and the module of its errors."""
    try:
        # An optional dependency, imported only where a model is fetched.
        hub = importlib.import_module("huggingface_hub")
        return hub.snapshot_download, importlib.import_module("huggingface_hub.errors")
    except ImportError:
        way = near or "give a folder"
        raise UserError(
            f"no folder {name}: {way}; to fetch it from Hugging Face's Hub, run pip install "
            "'flax_transformer[hub]'"
        ) from None


def _line(error: Exception) -> str:
    return f"{error}".strip().partition("\n")[0].rstrip(".")[:200]


def _near(path: Path) -> str:
    """A question that names the existing path most like a missing one; "" if none is like it."""
    found = Path(path.anchor)
    for part in path.parts[len(found.parts) :]:
        if not (found / part).exists():
            beside = [other.name for other in found.iterdir()] if found.is_dir() else []
            (part, *_) = *difflib.get_close_matches(part, beside, n=1), ""
            if not part:
                return ""
        found /= part
    return f"did you mean {found}?"
