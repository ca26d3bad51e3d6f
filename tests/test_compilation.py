import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from flax_transformer import compilation

# A command that compiles, and says which folder is in use and what happened in it.
PROGRAM = """
import collections, dataclasses, json
import jax
from flax_transformer.cli import execute

events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event.split("/")[-1]]))

@dataclasses.dataclass(frozen=True)
class Double:
    number: float = 3

    def run(self):
        jax.jit(lambda number: number * 2)(self.number)
        print(json.dumps({"folder": jax.config.jax_compilation_cache_dir, **events}))

execute(Double, [])
"""
# Not as the person who runs the tests has set them.
OURS = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE", "XDG_CACHE_HOME")


def start(folder: Path, **environment: str):
    """Runs the command in a folder; gives what it counted and what it printed as errors."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    environment = kept | {"HOME": str(folder)} | environment
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, env=environment, cwd=folder
    )
    return collections.Counter(json.loads(done.stdout)), done.stderr


def programs(folder: Path) -> dict[str, bytes]:
    """What is kept; beside each program JAX notes when it was used."""
    return {path.name: path.read_bytes() for path in folder.glob("*-cache")}


def test_the_second_start_compiles_nothing(tmp_path):
    (tmp_path / "work").mkdir()
    first, _ = start(tmp_path / "work", XDG_CACHE_HOME=str(tmp_path / "caches"))
    folder = tmp_path / "caches" / "flax_transformer" / "compiled"
    assert first["folder"] == str(folder)
    assert first["cache_misses"] > 0
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = programs(folder)
    second, errors = start(tmp_path / "work", XDG_CACHE_HOME=str(tmp_path / "caches"))
    assert second["cache_hits"] == first["cache_misses"]
    assert second["cache_misses"] == 0
    assert programs(folder) == kept
    assert errors == ""
    assert not list((tmp_path / "work").iterdir())


def test_a_folder_that_the_user_has_chosen_stays(tmp_path):
    counted, _ = start(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "chosen"))
    assert counted["folder"] == str(tmp_path / "chosen")
    assert counted["cache_misses"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["chosen"]


def test_programs_that_were_not_used_for_the_longest_time_are_deleted(tmp_path):
    folder = tmp_path / ".cache" / "flax_transformer" / "compiled"
    start(tmp_path)
    (needed,) = programs(folder).values()
    for path in folder.glob("jit*"):
        path.unlink()
    (folder / "old-cache").write_bytes(needed)
    (folder / "old-atime").write_bytes((1).to_bytes(8, "little"))
    start(tmp_path, JAX_COMPILATION_CACHE_MAX_SIZE=str(int(len(needed) * 1.5)))
    assert list(programs(folder).values()) == [needed]
    assert "old-cache" not in programs(folder)


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """A process in which no folder is set yet; its settings come back after the test."""
    names = ("jax_compilation_cache_dir", *compilation._KEEP_EVERYTHING, *compilation._LIMIT)
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_without_a_cache_folder_of_its_own_it_is_in_the_home(unset, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "flax_transformer" / "compiled"
    assert compilation.keep_compiled_programs() == folder
    assert folder.is_dir()
    assert jax.config.values["jax_compilation_cache_max_size"] == 2 * 2**30


def test_a_folder_that_cannot_be_written_is_a_warning(unset, tmp_path):
    (tmp_path / "caches").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="compiled programs are not kept .*set XDG_CACHE_HOME"):
        assert compilation.keep_compiled_programs() is None
    assert jax.config.values["jax_compilation_cache_dir"] is None


def test_limits_of_the_environment_stay(unset, monkeypatch):
    name = "jax_persistent_cache_min_compile_time_secs"
    jax.config.update(name, 7)
    monkeypatch.setenv(name.upper(), "7")
    assert compilation.keep_compiled_programs() is not None
    assert getattr(jax.config, name) == 7
    assert jax.config.values["jax_persistent_cache_min_entry_size_bytes"] == -1


def test_a_cache_that_is_switched_off_stays_off(unset, tmp_path):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert compilation.keep_compiled_programs() is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not (tmp_path / "caches").exists()
