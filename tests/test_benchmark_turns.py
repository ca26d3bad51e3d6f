import importlib
import os
import platform
import subprocess
import sys

import pytest
from benchmark_scripts import FOLDER, imported

CONTENDER = """
import os
import sys
import time

from peers.turn import take_turn


def make(kind):
    if kind == "fails":
        raise ValueError("it cannot be made")
    runs, held = [], bytearray(2**28 if kind == "large" else 0)
    held[::4096] = bytes(len(held[::4096]))

    def run():
        runs.append(1)
        # The first runs, which are not timed, take long.
        time.sleep(1 if len(runs) <= 2 else 0.01)
        print("what a contender says")
        names = ("MALLOC_ARENA_MAX", "JAX_CPU_ENABLE_ASYNC_DISPATCH")
        packages = {"jax", "numpy", "flax_transformer"}
        return {
            "pid": os.getpid(),
            "runs": len(runs),
            "settings": [os.environ.get(name) for name in names],
            "modules": sorted(packages & set(sys.modules)),
        }

    return run


if __name__ == "__main__":
    take_turn(make)
"""


@pytest.fixture(scope="module")
def turns():
    with imported("turns") as module:
        yield module


@pytest.fixture
def contender(turns, tmp_path, monkeypatch):
    """Makes a contender of a kind."""
    (tmp_path / "a_contender.py").write_text(CONTENDER)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    for name in turns.OUR_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return lambda kind: turns.Contender("a_contender", {"kind": kind})


def test_every_turn_is_a_process_of_its_own_that_holds_nothing_of_ours(turns, contender):
    said = []
    one = contender("small")
    taken = turns.take_turns({"one": one, "two": one}, 2, 3, said.append, num_warmups=2)
    assert [len(taken[name].seconds) for name in ("one", "two")] == [2 * 3, 2 * 3]
    assert all(second < 0.5 for name in taken for second in taken[name].seconds)
    facts = [taken[name].facts for name in taken]
    assert [fact["runs"] for fact in facts] == [5, 5]
    assert len({fact["pid"] for fact in facts} | {os.getpid()}) == 3
    assert [fact["modules"] for fact in facts] == [[], []]
    assert sorted(line.split(":")[0] for line in said) == [
        f"turn {turn}/2 of {name}" for turn in (1, 2) for name in ("one", "two")
    ]


def test_a_peer_has_our_settings_only_where_it_is_said(turns, contender):
    both = turns.in_both_settings({"peer": contender("small")})
    assert list(both) == ["peer", "peer, our settings"]
    settings = [turns.take_one_turn(each, 1, 2).facts["settings"] for each in both.values()]
    assert settings == [[None, None], ["1", "false"]]


def test_peak_memory_is_of_what_the_process_holds(turns, contender):
    small, large = (turns.take_one_turn(contender(kind), 1, 2) for kind in ("small", "large"))
    assert large.peak_bytes > small.peak_bytes + 2**27


def test_a_contender_that_fails_is_named_with_its_reason(turns, contender):
    with pytest.raises(turns.UserError, match="a_contender failed: ValueError: it cannot be made"):
        turns.take_one_turn(contender("fails"), 1, 0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_our_settings_keep_freed_memory(turns):
    program = importlib.import_module("test_allocator").PROGRAM
    command = [sys.executable, "-c", program, "default"]
    environment = {**os.environ, **turns.OUR_SETTINGS}
    held = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
    assert int(held.stdout) >= 60


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("torch_step", "torch"),
        ("decode_marian", "transformers"),
        ("decode_ctranslate2", "ctranslate2"),
    ],
)
def test_a_peer_of_another_system_imports_neither_jax_nor_us(module, package):
    pytest.importorskip(package, reason=f"{package} is not installed")
    program = f"import peers.{module}, sys; print({{'jax', 'flax_transformer'}} & {{*sys.modules}})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_real_step_takes_a_turn(turns):
    size = importlib.import_module("peers.size").Size(1, 6, 11, 2, 61, 5, 7)
    step = importlib.import_module("contenders").our_step(size, "float32")
    taken = turns.take_turns({"ours": step}, 1, 2, print)["ours"]
    assert len(taken.seconds) == 2
    assert taken.facts["flops"] > 0
    assert taken.peak_bytes > 2**26
