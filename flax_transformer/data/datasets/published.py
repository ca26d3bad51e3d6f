"""Published files of a data set: found locally or downloaded, and verified by digest."""

import hashlib
import itertools
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flax_transformer.data.datasets.recipe import Recipe
from flax_transformer.data.files import text_files
from flax_transformer.errors import UserError


def read_published(recipe: Recipe, folder: str | None, dl_manager: Any) -> dict[str, bytes]:
    """Reads a data set's files from a folder; without a folder, downloads them through TFDS.

    Raises:
        UserError: if a file is missing or is not the authors', or cannot be downloaded.
    """
    if folder is not None:
        return read_folder(recipe, Path(folder))
    if recipe.url is None:
        raise UserError(
            f"{recipe.title} has no place to be downloaded from: give --data.manual-dir the "
            f"folder with {' and '.join(recipe.sha256)}"
        )
    return download(recipe, recipe.url, dl_manager)


def read_folder(recipe: Recipe, folder: Path) -> dict[str, bytes]:
    """Reads a data set's files, gzipped or not, from a folder.

    Raises:
        UserError: if a file is missing or is not the authors'.
    """
    contents, parts, files = {}, [], "it"
    if recipe.url is not None:
        parts = [Path(recipe.url).stem]  # the folder of an unpacked archive or a cloned repository
        files = f"the files of {recipe.url}, or leave it out to download them"
    for name, sha256 in recipe.sha256.items():
        path = find(folder, name, parts, files)
        contents[name] = text_files.read_bytes(path)
        verify(str(path), contents[name], sha256, f"{recipe.title}'s {name}")
    return contents


def download(recipe: Recipe, url: str, dl_manager: Any) -> dict[str, bytes]:
    """Downloads a data set's files.

    Raises:
        UserError: if the network is not available, or a file is no longer the authors'.
    """
    archived = url.endswith(".zip")
    end = ".gz" if recipe.packed else ""
    addresses = {name: f"{url}/{name}{end}" for name in recipe.sha256}
    check_network(recipe.title, url if archived else next(iter(addresses.values())))
    if archived:
        contents = unzip(Path(dl_manager.download(url)), recipe)
    else:
        paths = dl_manager.download(addresses)
        contents = {name: text_files.read_bytes(path) for name, path in paths.items()}
    for name, sha256 in recipe.sha256.items():
        verify(addresses[name], contents[name], sha256, f"{recipe.title}'s {name}")
    return contents


def unzip(path: Path, recipe: Recipe) -> dict[str, bytes]:
    """Reads a data set's files from an archive, in any of its folders.

    Raises:
        UserError: if the archive is damaged or lacks a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(member).name: member for member in archive.namelist()}
            return {name: archive.read(members[name]) for name in recipe.sha256}
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"the download from {recipe.url} is not {recipe.title} ({error}): fetch its files "
            "elsewhere and give --data.manual-dir the folder with them"
        ) from None


def check_network(title: str, address: str) -> None:
    """Checks the network first; without it, TFDS would retry for minutes.

    Raises:
        UserError: if the address cannot be reached.
    """
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=20).close()
    except OSError as error:
        raise UserError(
            f"cannot download {title} from {address} ({error}): fetch it elsewhere and give "
            "--data.manual-dir the folder with its files"
        ) from None


def find(folder: Path, name: str, parts: Iterable[str], files: str) -> Path:
    """Finds a file, gzipped or not, in a folder or in one of its subfolders `parts`.

    Raises:
        UserError: if it does not exist, asking for a folder with `files`.
    """
    for part, end in itertools.product((".", *parts), ("", ".gz")):
        path = folder.expanduser() / part / f"{name}{end}"
        if path.is_file():
            return path
    raise UserError(
        f"{folder} holds neither {name} nor {name}.gz: give --data.manual-dir the folder with "
        f"{files}"
    )


def verify(path: str, contents: bytes, sha256: str, what: str) -> None:
    """Rejects a file that is not the authors', since its scores would not be comparable.

    Raises:
        UserError: naming the file and its size.
    """
    if hashlib.sha256(contents).hexdigest() != sha256:
        raise UserError(f"{path} ({len(contents):,} bytes) is not {what}: download it again")
