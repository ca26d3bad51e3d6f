import pytest
from benchmark_scripts import FOLDER, assert_refuses, imported, run_for_json


@pytest.fixture(scope="module")
def benchmark():
    with imported("input_pipeline") as script:
        yield script


@pytest.fixture(scope="module")
def tiny(benchmark, tmp_path_factory):
    """The JSON and the progress of a run over a hundred numbers."""
    folder = tmp_path_factory.mktemp("input_pipeline")
    experiment = folder / "hundred.py"
    experiment.write_text(
        "import dataclasses\nfrom pathlib import Path\n"
        "from flax_transformer.experiment import load_experiment\n"
        f"number_words = load_experiment(Path({str(FOLDER.parent / 'number_words.py')!r}))\n"
        "data = dataclasses.replace(number_words.data, train_split='train[:101]',\n"
        "    vocab_size=300, tokens_per_batch=307)\n"
        "experiment = dataclasses.replace(number_words, data=data)\n"
    )
    words = ["--experiment", str(experiment), "--data-dir", str(folder), "--num-buckets", "2"]
    words += ["--row-length", "71", "--window", "29", "--num-repeats", "2"]
    return run_for_json(benchmark.main, words)


def test_an_epoch_is_timed_and_its_real_tokens_counted(tiny):
    figures, progress = tiny
    report, seconds = figures["report"], figures["epoch_seconds"]
    assert report["num_pairs"] == 101
    assert report["num_shapes"] == 2
    assert 0 < seconds["lower"] <= seconds["median"] <= seconds["upper"]
    a_second = report["batches_per_epoch"] / seconds["median"]
    assert figures["batches_per_second"] == pytest.approx(a_second)
    tokens = report["batches_per_epoch"] * report["target_tokens_per_batch"]
    rate = figures["target_tokens_per_second"]
    assert rate == pytest.approx(tokens / seconds["median"])
    assert figures["environment"]["versions"].keys() >= {"numpy", "grain", "tokenizers"}
    assert progress.splitlines() == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_packing_stands_beside_it(tiny):
    figures, _ = tiny
    packed = figures["packed"]
    assert packed["row_length"] == 71
    assert 2 <= packed["rows"] < 101
    assert 0 < packed["padding_share"] < 1
    assert packed["pairs_per_second"] > 0


def test_the_table_says_what_was_measured(benchmark, capsys):
    report = benchmark.DataReport(1000, 0, 6, 20, 500.0, 0.125)
    packed = benchmark.Packed(64, 300, 0.0625, 50_000.0)
    seconds = benchmark.Spread(0.25, 0.5, 0.75)
    result = benchmark.Result(3.5, report, 10_000, seconds, packed)
    benchmark.show(result, benchmark.InputPipeline())
    printed = capsys.readouterr().out
    for figure in ("number_words.py", "3.5 s", "12.5%", "20,000", "100.0%", "6.2%", "500,000"):
        assert figure in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window", "0"], "window must be at least 1, not 0"),
        (["--num-repeats", "0"], "num_repeats must be at least 1, not 0"),
        (["--row-length", "63"], "row_length 63 cannot hold a sentence of max_length 64: raise it"),
        (["--manual-dir", "."], "manual_dir is set, but number_words does not read it"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.main, words, message)
