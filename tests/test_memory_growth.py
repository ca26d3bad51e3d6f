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


def test_memory_that_is_taken_is_seen(benchmark):
    before = benchmark.resident()
    taken = bytearray(64 * 2**20)
    taken[::4096] = bytes(len(taken[::4096]))
    assert 60 < benchmark.resident() - before < 80


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
