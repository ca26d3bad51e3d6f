"""How published files are downloaded, from a server that is a folder here."""

import contextlib
import gzip
import hashlib
import pathlib
import types
import zipfile
from typing import Any

import pytest

from flax_transformer.data.datasets.published import download, read_folder
from flax_transformer.data.datasets.recipe import Recipe
from flax_transformer.errors import UserError

FILES = {"one.txt": b"one\n", "two.txt": "zw\xf6lf\n".encode("latin-1")}
SHA256 = {name: hashlib.sha256(contents).hexdigest() for name, contents in FILES.items()}


@pytest.fixture
def dl_manager():
    """Downloads as TFDS does: one address to its path, a dictionary to one of paths."""

    def fetch(address: str) -> pathlib.Path:
        return pathlib.Path(address.removeprefix("file://"))

    def download(given):
        if isinstance(given, str):
            return fetch(given)
        return {name: fetch(address) for name, address in given.items()}

    return types.SimpleNamespace(download=download)


def archive(path: pathlib.Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as packed:
        for name, contents in files.items():
            packed.writestr(f"folder/{name}", contents)
    return f"file://{path}"


def numbers(url: str, packed: bool = False) -> Recipe:
    published: Any = {"title": "Numbers", "sha256": SHA256, "url": url, "packed": packed}
    return Recipe("numbers", "", {}, lambda contents: {}, **published)


def fetch(url: str, dl_manager, packed: bool = False) -> dict[str, bytes]:
    return download(numbers(url, packed), url, dl_manager)


@pytest.mark.parametrize("packed", [False, True])
def test_files_of_a_folder_are_downloaded_and_unpacked(tmp_path, dl_manager, packed):
    for name, contents in FILES.items():
        path = tmp_path / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(contents) if packed else contents)
    assert fetch(f"file://{tmp_path}", dl_manager, packed) == FILES


def test_files_are_read_out_of_an_archive(tmp_path, dl_manager):
    assert fetch(archive(tmp_path / "numbers.zip", FILES), dl_manager) == FILES


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_no_changed_byte_of_an_archive_passes_unnoticed(tmp_path, dl_manager, packing):
    path = tmp_path / "numbers.zip"
    with zipfile.ZipFile(path, "w", packing) as packed:
        for name, contents in FILES.items():
            packed.writestr(name, contents)
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytes([whole[place] ^ 1 << place % 8])
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        with contextlib.suppress(UserError):
            assert fetch(f"file://{path}", dl_manager) == FILES


def test_an_archive_that_is_damaged_or_lacks_a_file_is_refused(tmp_path, dl_manager):
    url = archive(tmp_path / "numbers.zip", {"one.txt": FILES["one.txt"]})
    with pytest.raises(
        UserError, match=r"is not Numbers \('two\.txt'\): fetch its files elsewhere"
    ):
        fetch(url, dl_manager)
    (tmp_path / "numbers.zip").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"is not Numbers \(File is not a zip file\): fetch"):
        fetch(url, dl_manager)


def test_what_has_changed_at_its_address_is_refused(tmp_path, dl_manager):
    url = archive(tmp_path / "numbers.zip", {**FILES, "two.txt": b"two\n"})
    message = r"numbers\.zip/two\.txt \(4 bytes\) is not Numbers's two\.txt: download it again"
    with pytest.raises(UserError, match=message):
        fetch(url, dl_manager)


def test_an_unpacked_archive_is_found_from_the_folder_around_it(tmp_path):
    (tmp_path / "numbers").mkdir()
    for name, contents in FILES.items():
        (tmp_path / "numbers" / name).write_bytes(contents)
    published = numbers("https://example.org/numbers.zip")
    assert read_folder(published, tmp_path) == FILES
    assert read_folder(published, tmp_path / "numbers") == FILES
