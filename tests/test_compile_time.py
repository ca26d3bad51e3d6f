import pathlib

import jax
import pytest
from benchmark_scripts import assert_refuses, imported, run_for_json
from command_line import IMPORTS
from small import make_experiment


@pytest.fixture(scope="module")
def benchmark():
    with imported("compile_time") as script:
        yield script


@pytest.fixture(scope="module")
def small(benchmark, tmp_path_factory):
    """The JSON and the progress of both starts of a small training."""
    folder = tmp_path_factory.mktemp("compile_time")
    experiment = folder / "small.py"
    experiment.write_text(f"{IMPORTS}\nexperiment = {make_experiment(folder)!r}\n")
    return run_for_json(
        benchmark.CompileTime, ["--experiment", str(experiment), "--num-repeats", "1"]
    )


def test_the_second_start_of_a_training_compiles_nothing(small):
    figures, progress = small
    first, second = figures["first_start"], figures["second_start"]
    assert first["starts"][0]["num_compiled"] > 0
    assert second["starts"][0]["num_compiled"] == 0
    for start in (first, second):
        assert 0 < start["seconds_to_data"]["median"] <= start["seconds_to_step"]["median"]
    assert "second start 1/1: " in progress


def test_every_batch_shape_is_compiled(small):
    (shape,) = small[0]["shapes"]
    assert shape["bucket"]["rows"] > 0
    assert shape["trace_seconds"] > 0
    assert shape["compile_seconds"] > 0


def test_nothing_is_kept_while_shapes_are_compiled(benchmark):
    def folder():
        return jax.config.values["jax_compilation_cache_dir"]

    before = folder()
    assert before is not None

    def kept_nowhere(number):
        return number * 7919 - 7907

    def kept_again(number):
        return number * 7907 - 7919

    with benchmark.nothing_kept():
        assert folder() is None
        jax.jit(kept_nowhere).lower(3.0).compile()
    assert folder() == before
    # A program's file begins with its name.
    assert not list(pathlib.Path(before).glob("jit_kept_nowhere*"))
    jax.jit(kept_again).lower(3.0).compile()
    assert list(pathlib.Path(before).glob("jit_kept_again*"))


def test_the_tables_say_what_was_measured(benchmark, capsys):
    first = [benchmark.Start(2.5, seconds, 26) for seconds in (8.0, 10.0, 12.0)]
    second = [benchmark.Start(1.5, 3.5, 0)]
    shapes = [benchmark.Shape(benchmark.Bucket(13, 17, 41), 0.5, 6.5)]
    benchmark.show(benchmark.Result(first, second, shapes), benchmark.CompileTime())
    printed = capsys.readouterr().out
    for figure in ("number_words.py", "10.0", "20.0%", "26", "3.5", "41 x 13 + 17", "6.5"):
        assert figure in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-repeats", "0"], "--num-repeats must be at least 1, not 0"),
        (["--experiment", "no.py"], "no.py made no step: no experiment file"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.CompileTime, words, message)
