import importlib

import numpy as np
import pytest
from benchmark_scripts import assert_refuses, imported, run_for_json, turns_in_this_process

TINY = ["--num-sentences", "5", "--batch", "3", "--beam-size", "2", "--output-length", "4"]
TINY += ["--num-layers", "1", "--d-model", "8", "--d-ff", "13", "--num-heads", "2"]
TINY += ["--vocab-size", "307", "--num-turns", "1", "--num-repeats", "3"]


@pytest.fixture(scope="module")
def benchmark():
    with imported("decode") as script:
        yield script


@pytest.fixture(scope="module")
def work(benchmark):
    """What the tiny sizes ask of every contender."""
    sizes = [int(word) for word in TINY[1::2]]
    names = [word.removeprefix("--").replace("-", "_") for word in TINY[::2]]
    return benchmark.Decode(**dict(zip(names, sizes, strict=True))).work()


@pytest.fixture
def multi30k(tmp_path):
    """A folder in which every file holds the same few sentences."""
    for name in ("train.en", "train.de", "test_2016_flickr.en"):
        (tmp_path / name).write_text("a dog\ntwo dogs run over a field\na man reads\n")
    return tmp_path


def test_speeds_follow_from_the_time_and_the_forced_tokens(benchmark):
    with turns_in_this_process():
        figures, progress = run_for_json(benchmark.Decode, TINY)
    assert figures["num_target_tokens"] == 5 * 4
    assert figures["options"]["batch"] == 3
    assert figures["environment"]["versions"]["jax"]
    assert progress.count("turn 1/1 of flax_transformer") == 1
    assert "each turn in a new process" in figures["how"]
    (result,) = figures["results"]
    assert result["name"] == "flax_transformer"
    assert result["ours_against"] == 1
    assert result["peak_bytes"] == 2**20
    for slower, faster in (("lower", "upper"), ("median", "median"), ("upper", "lower")):
        speed = 20 / result["seconds"][slower]
        np.testing.assert_allclose(result["tokens_per_second"][faster], speed, rtol=1e-12)


def test_the_table_says_how_many_times_the_speed_of_each_ours_is(benchmark, work, capsys):
    taken = {
        "flax_transformer": benchmark.Taken([1.0, 1.0, 2.0, 4.0, 4.0], 2**20, {}),
        "another": benchmark.Taken([4.0, 4.0, 5.0, 8.0, 8.0], 2**20, {}),
    }
    benchmark.show(benchmark.compare(taken, work), work, benchmark.Decode())
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "another" in line)
    assert "2.50" in row
    assert "2 to 5" in row
    assert "each turn in a new process" in printed
    assert "jax" in printed


def test_batches_hold_neighbors_in_length_padded_to_few_lengths(work):
    lengths = [(batch != 0).sum(axis=1) for batch in work.batches()]
    assert [len(part) for part in lengths] == [3, 2]
    in_order = np.concatenate(lengths).tolist()
    assert in_order == sorted(in_order)
    assert {batch.shape[1] for batch in work.batches()} <= {8, 16, 24}
    # The last id is padding in Marian.
    assert max(batch.max() for batch in work.batches()) < 306


def test_real_sentences_are_read_and_sorted(benchmark, multi30k):
    options = benchmark.Decode(multi30k, num_sentences=3, vocab_size=307)
    (batch,) = options.work().batches()
    lengths = (batch != 0).sum(axis=1).tolist()
    assert len(lengths) == 3
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


def test_every_output_has_the_forced_length(benchmark, work):
    run = importlib.import_module("decode_search").make(work._asdict())
    benchmark.check_lengths("ours", run()["lengths"], work)
    with pytest.raises(RuntimeError, match=r"a short one gave 5 outputs of \[3, 4\] tokens"):
        benchmark.check_lengths("a short one", [4, 4, 4, 4, 3], work)


def test_a_beam_of_one_is_greedy_search(benchmark, work, monkeypatch):
    search = importlib.import_module("decode_search")

    def refuse(*_, **__):
        raise AssertionError("a beam search")

    monkeypatch.setattr(search, "beam_search", refuse)
    run = search.make(work._replace(beam_size=1)._asdict())
    benchmark.check_lengths("ours", run()["lengths"], work)


def test_a_part_is_left_out_where_asked_for_and_nowhere_else(work):
    search = importlib.import_module("decode_search")
    config = search.EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=8, d_ff=13, num_heads=2
    )
    called = []

    def note(call, args, kwargs, context):
        called.append("/".join(context.module.path))
        return call(*args, **kwargs)

    with search.PARTS["cross-attention"](), search.nn.intercept_methods(note):
        model = search.EncoderDecoder(config, 61)
        tokens = search.jnp.ones((1, 3), int)
        search.jax.eval_shape(model.init, search.jax.random.key(0), tokens, tokens)
    assert "decoder_0/self_attention/query" in called
    assert "decoder_0/cross_attention/key" in called
    assert "decoder_0/cross_attention/query" not in called


def test_a_search_of_each_part_is_a_contender(benchmark, work):
    with benchmark.Decode(shares=True).contenders(work) as contenders:
        assert [contender.job.get("without") for contender in contenders.values()] == [
            *(None, "encoder", "self-attention", "cross-attention", "feed-forward"),
            *("ranking", "vocabulary"),
        ]


def test_the_peers_decode_the_same_sentences_to_the_same_length(benchmark, work, tmp_path):
    for name in benchmark.PACKAGES:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")
    marian = importlib.import_module("peers.decode_marian")
    model = marian.marian_model(work)
    importlib.import_module("peers.convert_marian").make(work._asdict(), str(tmp_path))()
    ctranslate2 = importlib.import_module("peers.decode_ctranslate2")
    searches = {
        "marian": marian.marian_search(work, model),
        "ctranslate2": ctranslate2.ctranslate2_search(work, str(tmp_path)),
    }
    found = {}
    for name, search in searches.items():
        found[name] = [list(map(int, output)) for batch in search() for output in batch]
        benchmark.check_lengths(name, list(map(len, found[name])), work)
    # The weights are the same, so the work is.
    assert found["marian"] == found["ctranslate2"]


def test_the_type_asked_for_is_that_of_the_model(benchmark, work, monkeypatch):
    search = importlib.import_module("decode_search")
    types, make = [], search.EncoderDecoder
    monkeypatch.setattr(
        search,
        "EncoderDecoder",
        lambda config, size: types.append(config.dtype) or make(config, size),
    )
    for dtype in ("float32", "bfloat16"):
        run = search.make(work._replace(dtype=dtype)._asdict())
        benchmark.check_lengths(dtype, run()["lengths"], work)
    assert types == ["float32", "bfloat16"]
    assert benchmark.Decode(num_sentences=2, dtype="bfloat16").work().dtype == "bfloat16"


def test_a_package_that_is_not_there_is_named(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "PACKAGES", ("no_such_package",))
    with pytest.raises(benchmark.UserError, match="no no_such_package: pip install"):
        benchmark.peers({}, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-repeats", "0"], "--num-repeats must be at least 1, not 0"),
        (["--vocab-size", "259"], "--vocab-size must be at least 260, not 259"),
        (["--num-heads", "3"], "--d-model 256 is not a multiple of --num-heads 3: change one"),
        (["--shares", "--beam-size", "1"], "--shares needs a beam to rank: give --beam-size 2"),
        (["--manual-dir", "no/such"], "no Multi30k in no/such: --manual-dir lacks train.en or"),
        ([*TINY, "--flax-examples", "no/such"], "no examples/wmt/train.py in no/such: give --flax"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.Decode, words, message)


def test_more_sentences_than_there_are_cannot_be_asked_for(benchmark, multi30k):
    with pytest.raises(benchmark.UserError, match="--num-sentences must be at most 3, not 5"):
        benchmark.Decode(multi30k, num_sentences=5, vocab_size=307).work()
