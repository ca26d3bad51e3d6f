"""The programs of the guide translate as the command does, each with two workers."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from small import PAIRS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "offline_translation.md"
SOURCES = [PAIRS[number].source for number in (7, 2, 19, 0, 4, 11, 3)]
SOURCES.insert(3, "")


def program(name: str) -> str:
    """The program of the guide that imports a library."""
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    (found,) = (text for text in programs if f"import {name}" in text)
    assert found.count('"runs/mine"') == 1
    return found.replace('"runs/mine"', f'"{Path("run").absolute()}"')


@pytest.fixture
def translations(run, trained, tmp_path):
    """Translations of the sources by the command; the sources are in a file."""
    lines = "".join(f"{source}\n" for source in SOURCES)
    found = run("translate", "--workdir", "run", stdin=lines.encode()).out.splitlines()
    (tmp_path / "lines.txt").write_text(lines, encoding="utf-8")
    return found


def execute(text: str, folder: Path) -> None:
    """Runs a program in a folder, as a user does."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        timeout=240,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_ray_translates_in_order(translations, tmp_path):
    execute(program("ray"), tmp_path)
    assert (tmp_path / "translations.txt").read_text("utf-8").splitlines() == translations


@pytest.mark.skipif(find_spec("apache_beam") is None, reason="apache_beam is not installed")
def test_beam_gives_each_text_its_translation(translations, tmp_path):
    execute(program("apache_beam"), tmp_path)
    files = [*tmp_path.glob("translations-*.tsv")]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    expected = [f"{source}\t{one}" for source, one in zip(SOURCES, translations, strict=True)]
    assert sorted(lines) == sorted(expected)
