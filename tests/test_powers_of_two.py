import jax
import numpy as np
import pytest
from benchmark_scripts import assert_refuses, imported, run_for_json

GROUPS = {"d_model": (7, 8), "d_ff": (16, 13), "vocab_size": (61, 64), "head_dim": (4, 3)}
TINY = ["--num-heads", "1", "--batch", "2", "--length", "3", "--peak-size", "37"]
TINY += ["--num-repeats", "3"]
TINY += [word for name, sizes in GROUPS.items() for word in (f"--{name}", *map(str, sizes))]


@pytest.fixture(scope="module")
def benchmark():
    with imported("powers_of_two") as script:
        yield script


@pytest.fixture(scope="module")
def drawn_and_printed(benchmark, tmp_path_factory):
    """The picture of tiny sizes, and the JSON and the progress that are printed.

    A product of matrices stands for each training step, which takes seconds to compile.
    """

    def product(self, sizes):
        return benchmark.matrix_product(sum(sizes.values()), self.dtype)

    picture = tmp_path_factory.mktemp("powers_of_two") / "tiny.png"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark.PowersOfTwo, "step", product)
        return picture, *run_for_json(benchmark.PowersOfTwo, [*TINY, "--out", str(picture)])


def test_every_size_is_measured_and_compared_with_the_roundest_of_its_group(drawn_and_printed):
    _, figures, _ = drawn_and_printed
    results = figures["results"]
    assert [(result["group"], result["size"]) for result in results] == [
        (group, size) for group, sizes in GROUPS.items() for size in sizes
    ]
    assert [result["power_of_two"] for result in results] == [1, 8, 16, 1, 1, 64, 4, 1]
    compared = {r["group"]: r["seconds_per_flop"] for r in results if r["power_of_two"] > 1}
    for result in results:
        seconds = result["seconds"]
        assert 0 < seconds["lower"] <= seconds["median"] <= seconds["upper"]
        a_flop = seconds["median"] / result["flops"]
        peak = figures["matrix_product"]["flops_per_second"]
        measured = [
            result[name] for name in ("seconds_per_flop", "against_roundest", "share_of_peak")
        ]
        expected = [a_flop, a_flop / compared[result["group"]], 1 / (a_flop * peak)]
        np.testing.assert_allclose(measured, expected, rtol=1e-12)
    # One model is the roundest of all groups, and was measured once.
    assert len(set(compared.values())) == 1


def test_the_picture_and_the_circumstances_are_kept(drawn_and_printed):
    picture, figures, progress = drawn_and_printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert figures["options"]["batch"] == 2
    assert figures["environment"]["versions"]["jax"] == jax.__version__
    assert "compiling d_model 7, d_ff 16, vocab_size 64, head_dim 4" in progress
    assert progress.count("(timed)") == 3


def test_the_work_of_a_product_of_matrices_is_counted(benchmark):
    assert benchmark.matrix_product(31, "float32").flops == 2 * 31**3


def test_the_table_says_what_was_measured_where(benchmark, capsys):
    options = benchmark.PowersOfTwo(num_repeats=1)
    seconds = benchmark.Spread(0.001, 0.002, 0.004)
    result = benchmark.Result("d_model", 520, 8, 2e9, seconds, 1e-12, 1.25, 0.5)
    product = {"size": 41, "flops_per_second": 5e11}
    benchmark.show([result], product, options)
    printed = capsys.readouterr().out
    for figure in ("d_model 520", "+25.0%", "50.0%", "150.0%", "500.0 GFLOP/s", "jax"):
        assert figure in printed


def test_programs_run_in_turns(benchmark):
    ran = []
    programs = {name: lambda name=name: ran.append(name) for name in "abc"}
    spreads = benchmark.time_in_turns(programs, 5, say=lambda line: None)
    assert list(spreads) == ["a", "b", "c"]
    rounds = [ran[start : start + 3] for start in range(0, len(ran), 3)]
    assert len(rounds) > 5
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert any(names != rounds[0] for names in rounds)


def test_a_step_trains_a_model_of_the_sizes(benchmark):
    options = benchmark.PowersOfTwo(num_heads=2, batch=3, length=5)
    work = options.step({"d_model": 7, "d_ff": 13, "vocab_size": 61, "head_dim": 3})
    losses = [float(work.run().loss) for _ in range(2)]
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]
    # Two operations a parameter of the projections and token forwards, four backwards.
    attention, feed_forward, logits = 4 * 7 * 2 * 3, 2 * 7 * 13, 7 * 61
    products = 6 * (3 * attention + 2 * feed_forward + logits) * 3 * 5
    assert products < work.flops < 2 * products


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-repeats", "0"], "--num-repeats must be at least 1, not 0"),
        (["--d-ff", "16", "-3"], "--d-ff must be at least 1, not -3"),
        (["--vocab-size", "2", "5"], "--vocab-size must be at least 3, not 2"),
        (["--d-model", "8"], "--d-model (8,) is too few: give two or more sizes, each once"),
        (
            ["--head-dim", "5", "5"],
            "--head-dim (5, 5) is too few: give two or more",
        ),
        (["--out", "figure.docx"], "cannot write a picture figure.docx: end its name in"),
        (["--out", "no/such/folder.png"], "no folder no/such for the picture folder.png"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.PowersOfTwo, words, message)
