import pytest
from benchmark_scripts import FOLDER, assert_refuses, imported, run_for_json


@pytest.fixture(scope="module")
def benchmark():
    with imported("input_pipeline") as script:
        yield script


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("input_pipeline")


@pytest.fixture(scope="module")
def tiny(benchmark, tiny_folder):
    """The JSON and the progress of a run over a hundred numbers."""
    experiment = tiny_folder / "hundred.py"
    experiment.write_text(
        "import dataclasses\nfrom pathlib import Path\n"
        "from flax_transformer.experiment import load_experiment\n"
        f"number_words = load_experiment(Path({str(FOLDER.parent / 'number_words.py')!r}))\n"
        "data = dataclasses.replace(number_words.data, train_split='train[:101]',\n"
        "    vocab_size=300, tokens_per_batch=307)\n"
        "experiment = dataclasses.replace(number_words, data=data)\n"
    )
    words = ["--experiment", str(experiment), "--data-dir", str(tiny_folder), "--num-buckets", "2"]
    words += ["--row-length", "71", "--num-repeats", "2"]
    return run_for_json(benchmark.InputPipeline, words)


@pytest.mark.parametrize("way", ["by_length", "packed"])
def test_an_epoch_is_timed_and_its_real_tokens_counted(tiny, way):
    figures, progress = tiny
    epochs = figures[way]
    report, seconds = epochs["report"], epochs["seconds"]
    assert report["num_pairs"] == 101
    assert 0 < seconds["lower"] <= seconds["median"] <= seconds["upper"]
    a_second = report["batches_per_epoch"] / seconds["median"]
    assert epochs["batches_per_second"] == pytest.approx(a_second)
    tokens = report["batches_per_epoch"] * report["target_tokens_per_batch"]
    assert epochs["target_tokens"] == pytest.approx(tokens)
    assert epochs["target_tokens_per_second"] == pytest.approx(tokens / seconds["median"])
    assert epochs["planning_seconds"] > 0
    assert figures["environment"]["versions"].keys() >= {"numpy", "grain", "tokenizers"}
    assert progress.splitlines()[2:] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]


def test_both_starts_are_timed_and_the_second_finds_what_the_first_kept(tiny, tiny_folder):
    figures, progress = tiny
    starts = figures["start_seconds"]
    assert min(starts["first"], starts["second"]) > 0
    assert progress.splitlines()[:2] == [f"{k} start: {s:.1f} s" for k, s in starts.items()]
    kept = list(tiny_folder.glob("*/*/flax_transformer/*.json"))
    assert len(kept) == 2  # the tokenizer and the tokens, once each


def test_packed_rows_hold_the_same_tokens_in_one_shape(tiny):
    figures, _ = tiny
    by_length, packed = figures["by_length"], figures["packed"]
    assert figures["row_length"] == 71
    assert by_length["target_tokens"] == packed["target_tokens"]
    assert (by_length["report"]["num_shapes"], packed["report"]["num_shapes"]) == (2, 1)
    assert 0 < packed["report"]["padding_share"] < 1


def test_the_table_says_what_was_measured(benchmark, capsys):
    seconds = benchmark.Spread(0.25, 0.5, 0.75)
    by_length, packed = (
        benchmark.Epochs(planning, benchmark.EpochReport(1000, *report), tokens, seconds)
        for planning, report, tokens in (
            (0.75, (6, 20, 500.0, 0.125), 10_000),
            (0.25, (1, 35, 500.0, 0.0625), 15_000),
        )
    )
    result = benchmark.Result((3.5, 1.5), 64, by_length, packed)
    benchmark.show(result, benchmark.InputPipeline())
    printed = capsys.readouterr().out
    for figure in ("number_words.py", "1,000 pairs", "3.5 s", "1.5 s", "packed, 64"):
        assert figure in printed
    for figure in ("12.5%", "6.2%", "20,000", "30,000", "40", "70", "100.0%", "0.75 s", "0.25 s"):
        assert figure in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-repeats", "0"], "--num-repeats must be at least 1, not 0"),
        (
            ["--row-length", "63"],
            "--row-length 63 cannot hold a sentence of --data.max-length 64: raise it",
        ),
        (["--manual-dir", "."], "--data.manual-dir is set, but number_words does not read it"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.InputPipeline, words, message)
