"""Holds that the project supports the versions it claims to, Google Colab's among them."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def colab_versions() -> dict[str, str]:
    """Colab's version of each package that it has."""
    lines = (ROOT / ".ci" / "colab.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    lists = [SETUP["options"]["install_requires"], *SETUP["options.extras_require"].values()]
    return [Requirement(line) for lines in lists for line in lines.split("\n") if line]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_what_colab_has_is_not_replaced(requirement):
    version = colab_versions().get(canonicalize_name(requirement.name))
    assert version is None or requirement.specifier.contains(version)


def test_what_decides_whether_a_gpu_is_used_is_among_them():
    named = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert {"jax", "flax", "optax", "orbax-checkpoint", "grain"} <= named & set(colab_versions())


def test_the_checkpoints_stay_those_of_the_present_orbax():
    (orbax,) = [each for each in requirements() if each.name == "orbax-checkpoint"]
    assert not orbax.specifier.contains("1.0.0")


def test_every_kind_of_test_runs_on_every_set_of_versions():
    """Except tests that need another system beside ours."""
    folders = {path for path in (ROOT / "tests").iterdir() if list(path.glob("test_*.py"))}
    marked = {
        path.parent
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"^pytestmark = .*mark\.platforms", path.read_text("utf-8"), re.M)
    }
    assert folders - marked == {ROOT / "tests" / "parity"}


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_missing_interpreters_are_reported_and_fail_in_ci(tmp_path, ci, code):
    for tool in ("bash", "cat", "dirname", "mktemp", "rm", "tee"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    done = subprocess.run(
        [tmp_path / "bash", ROOT / ".ci" / "run"],
        env={"PATH": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    *_, first, second, third = done.stdout.splitlines()
    assert first == "whole suite: nothing ran, none of these is at hand: Python 3.11"
    assert second == "newest versions: nothing ran, none of these is at hand: Python 3.14 3.13 3.12"
    assert third == "Google Colab's versions: nothing ran, none of these is at hand: Python 3.13"
