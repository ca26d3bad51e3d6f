import os
from pathlib import Path

import pytest
from benchmark_scripts import assert_refuses, imported, run_for_json

pytestmark = pytest.mark.usefixtures("quickly_compiled")


@pytest.fixture(scope="module")
def benchmark():
    with imported("memory_growth") as script:
        yield script


def test_growth_is_the_slope_of_the_second_half(benchmark):
    held = [1000.0] * 11 + [70.0 + 3 * place for place in range(11)]
    found = benchmark.growth(held, total=4000)
    # Eleven places from 2,000 to 4,000 of the total: 30 MiB over 2 thousand.
    assert found == {"middle": 70.0, "end": 100.0, "growth": pytest.approx(15.0)}


def test_resident_memory_is_read_in_mebibytes(benchmark, tmp_path, monkeypatch):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  9216 kB\nVmRSS:\t    3072 kB\nThreads:\t8\n")
    monkeypatch.setattr(benchmark, "STATUS", status)
    assert benchmark.resident() == 3.0


def test_resident_memory_is_that_of_this_process(benchmark):
    # The kernel counts it a second time, in pages. Growth by an allocation is no test: the kernel
    # takes back pages of files at any time.
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    expected = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert benchmark.resident() == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
def test_both_are_measured(benchmark):
    words = ["--num-steps", "8", "--num-sentences", "8"]
    figures, progress = run_for_json(benchmark.MemoryGrowth, words)
    for name in ("training", "translating"):
        assert figures[name]["middle"] > 100
        assert figures[name]["end"] > 100
    assert "training for 8 updates" in progress
    assert figures["versions"]["jax"]


def test_too_little_is_refused(benchmark):
    assert_refuses(
        benchmark.MemoryGrowth, ["--num-steps", "3"], "--num-steps must be at least 8, not 3"
    )
