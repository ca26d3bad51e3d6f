"""What a user installs: the files of the wheel and of the source archive, and what they run."""

import configparser
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = "flax_transformer"
OF_WHEEL = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
OF_SOURCE = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}


class Built(NamedTuple):
    """The two archives, and the folder of the programs that made them."""

    wheel: Path
    source: Path
    programs: Path


def run(*words: object, folder: Path) -> str:
    done = subprocess.run([*map(str, words)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> list[str]:
    return run("git", "ls-files", folder=REPOSITORY).splitlines()


def version() -> str:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    return setup["metadata"]["version"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    """Builds both of a copy of the tracked files, so that the checkout gets no further files."""
    folder = tmp_path_factory.mktemp("distribution")
    run(sys.executable, "-m", "venv", folder / "tools", folder=folder)
    programs = folder / "tools" / "bin"
    run(programs / "pip", "install", "--quiet", "build", "twine", "pipx", folder=folder)
    checkout = folder / "checkout"
    for name in tracked():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((REPOSITORY / name).read_bytes())
    run(programs / "python", "-m", "build", "--outdir", folder / "dist", folder=checkout)
    (wheel,) = (folder / "dist").glob("*.whl")
    (source,) = (folder / "dist").glob("*.tar.gz")
    return Built(wheel, source, programs)


def package_files() -> set[str]:
    return {name for name in tracked() if name.startswith(f"{PACKAGE}/")}


@pytest.mark.slow
def test_the_wheel_has_the_package_and_nothing_else(built):
    information = f"{PACKAGE}-{version()}.dist-info"
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    assert names == package_files() | {f"{information}/{name}" for name in OF_WHEEL}
    assert f"{PACKAGE}/visualization/page/grid.js" in names


@pytest.mark.slow
def test_the_source_archive_has_what_the_wheel_is_made_of(built):
    with tarfile.open(built.source) as archive:
        names = {member.name for member in archive if member.isfile()}
    root = f"{PACKAGE}-{version()}/"
    inner = {name.removeprefix(root) for name in names}
    others = {name for name in inner if not name.startswith(f"{PACKAGE}.egg-info/")}
    assert others == package_files() | OF_SOURCE


@pytest.mark.slow
def test_the_index_of_packages_would_accept_both(built):
    said = run(
        built.programs / "twine",
        "check",
        "--strict",
        built.wheel,
        built.source,
        folder=built.programs,
    )
    assert said.count("PASSED") == 2


@pytest.mark.slow
@pytest.mark.parametrize("way", ["venv", "pipx"])
def test_it_runs_in_an_empty_environment(way, built, tmp_path):
    if way == "pipx":
        folders = {"PIPX_HOME": tmp_path / "pipx", "PIPX_BIN_DIR": tmp_path / "bin"}
        given = [f"{name}={folder}" for name, folder in folders.items()]
        run("env", *given, built.programs / "pipx", "install", built.wheel, folder=tmp_path)
        program = tmp_path / "bin" / "flax-transformer"
    else:
        run(sys.executable, "-m", "venv", tmp_path / "venv", folder=tmp_path)
        run(tmp_path / "venv" / "bin" / "pip", "install", "--quiet", built.wheel, folder=tmp_path)
        program = tmp_path / "venv" / "bin" / "flax-transformer"
    # Without the path on which a development may find its own files.
    bare = ("env", "-u", "PYTHONPATH", program)
    assert run(*bare, "--version", folder=tmp_path).strip() == version()
    assert "usage: flax-transformer COMMAND" in run(*bare, "--help", folder=tmp_path)
    assert "--format" in run(*bare, "export", "--help", folder=tmp_path)
