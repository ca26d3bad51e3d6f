import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from flax_transformer.runtime import process

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


def test_the_second_start_compiles_nothing(tmp_path):
    (tmp_path / "work").mkdir()
    first, _ = start(tmp_path / "work", XDG_CACHE_HOME=str(tmp_path / "caches"))
    folder = tmp_path / "caches" / "flax_transformer" / "compiled"
    assert first["folder"] == str(folder)
    assert first["cache_misses"] > 0
    assert folder.stat().st_mode & 0o777 == 0o700
    kept = sorted(folder.iterdir())
    second, errors = start(tmp_path / "work", XDG_CACHE_HOME=str(tmp_path / "caches"))
    assert second["cache_hits"] == first["cache_misses"]
    assert second["cache_misses"] == 0
    assert sorted(folder.iterdir()) == kept
    assert errors == ""
    assert not list((tmp_path / "work").iterdir())


def test_a_folder_that_the_user_has_chosen_stays(tmp_path):
    counted, _ = start(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "chosen"))
    assert counted["folder"] == str(tmp_path / "chosen")
    assert counted["cache_misses"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["chosen"]


def test_files_that_were_not_used_for_the_longest_time_are_deleted(tmp_path):
    for name, used in (("b", 5), ("a", 3), ("c", 7)):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (used, 1))
    process.shrink(tmp_path, 30)
    assert len(list(tmp_path.iterdir())) == 3
    process.shrink(tmp_path, 29)
    assert {path.name for path in tmp_path.iterdir()} == {"b", "c"}
    process.shrink(tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_our_own_folder_is_kept_small_and_a_chosen_one_is_not(unset, monkeypatch, tmp_path):
    shrunk = []
    monkeypatch.setattr(process, "shrink", lambda *args: shrunk.append(args))
    folder = process.keep_compiled_programs()
    assert shrunk == [(folder, 2 * 2**30)]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "chosen"))
    process.keep_compiled_programs()
    assert len(shrunk) == 1


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """A process in which no folder is set yet; its settings come back after the test."""
    names = ("jax_compilation_cache_dir", *process._KEEP_EVERYTHING)
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
    assert process.keep_compiled_programs() == folder
    assert folder.is_dir()


def test_a_folder_that_cannot_be_written_is_a_warning(unset, tmp_path):
    (tmp_path / "caches").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="compiled programs are not kept .*set XDG_CACHE_HOME"):
        assert process.keep_compiled_programs() is None
    assert jax.config.values["jax_compilation_cache_dir"] is None


def test_limits_of_the_environment_stay(unset, monkeypatch):
    name = "jax_persistent_cache_min_compile_time_secs"
    jax.config.update(name, 7)
    monkeypatch.setenv(name.upper(), "7")
    assert process.keep_compiled_programs() is not None
    assert getattr(jax.config, name) == 7
    assert jax.config.values["jax_persistent_cache_min_entry_size_bytes"] == -1


def test_a_cache_that_is_switched_off_stays_off(unset, tmp_path):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert process.keep_compiled_programs() is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not (tmp_path / "caches").exists()
