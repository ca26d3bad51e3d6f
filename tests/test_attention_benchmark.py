import jax
import numpy as np
import pytest
from benchmark_scripts import assert_refuses, imported, run_for_json

from flax_transformer.functional.kernels import KERNELS, Kernel

LENGTHS = (5, 13)
TINY = ["--lengths", *map(str, LENGTHS), "--tokens", "26", "--num-heads", "2", "--head-dim", "3"]
TINY += ["--peak-size", "37", "--num-repeats", "3"]


@pytest.fixture(scope="module")
def benchmark():
    with imported("attention") as script:
        yield script


@pytest.fixture(scope="module")
def printed(benchmark):
    """The JSON and the progress of tiny sizes."""
    return run_for_json(benchmark.Attention, TINY)


def test_every_implementation_is_measured_at_every_length(printed):
    figures, progress = printed
    results = figures["results"]
    assert [(result["length"], result["implementation"]) for result in results] == [
        (length, name) for length in LENGTHS for name in ("xla", "blockwise")
    ]
    for result in results:
        seconds = result["seconds"]
        assert 0 < seconds["lower"] <= seconds["median"] <= seconds["upper"]
        xla = next(r for r in results if r["length"] == result["length"])["seconds"]["median"]
        np.testing.assert_allclose(result["against_xla"], xla / seconds["median"], rtol=1e-12)
        assert result["share_of_peak"] > 0
        assert result["is_auto"] == (result["implementation"] == "xla")
    assert "5 x 5 tokens" in progress
    assert "2 x 13 tokens" in progress


def test_the_circumstances_are_kept(printed):
    figures, _ = printed
    assert figures["options"]["lengths"] == list(LENGTHS)
    assert figures["environment"]["versions"]["jax"] == jax.__version__


def test_many_scores_are_said_to_be_taken_in_blocks(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "blocks_pay", lambda num_scores, platform: True)
    options = benchmark.Attention(
        lengths=(7,), tokens=7, num_heads=1, head_dim=2, peak_size=31, num_repeats=1
    )
    options.run()
    table = capsys.readouterr().out
    assert "7 blockwise (auto)" in table
    assert "7 xla (auto)" not in table


def test_cudnn_is_measured_where_it_is(benchmark, monkeypatch):
    assert "cudnn" not in benchmark.implementations(benchmark.Attention(dtype="bfloat16"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "cudnn" in benchmark.implementations(benchmark.Attention(dtype="bfloat16"))
    assert "cudnn" not in benchmark.implementations(benchmark.Attention(dtype="float32"))


def test_what_a_device_cannot_run_is_reported_and_the_others_are_measured(
    benchmark, monkeypatch, capsys
):
    def fail(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: too large\nstack")

    place = KERNELS["blockwise"].formula
    monkeypatch.setitem(KERNELS, "large", Kernel(place, fail, "if asked for"))
    options = benchmark.Attention(
        lengths=(7,), tokens=7, num_heads=1, head_dim=2, peak_size=31, num_repeats=1
    )
    results, failures = benchmark.measure(7, options)
    assert [result.implementation for result in results] == ["xla", "blockwise"]
    assert failures == [benchmark.Failure(7, "large", "RESOURCE_EXHAUSTED: too large")]
    benchmark.show([results[1]._replace(against_xla=None)], failures, options)
    assert "7 large failed: RESOURCE_EXHAUSTED: too large" in capsys.readouterr().out
    (failure,) = benchmark.as_json(results, failures, options)["failures"]
    assert failure["implementation"] == "large"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lengths", "0"], "--lengths must be at least 1, not 0"),
        (["--tokens", "0"], "--tokens must be at least 1, not 0"),
        (["--lenghts", "3"], "unknown option '--lenghts': did you mean '--lengths'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.Attention, words, message)
