import importlib

import numpy as np
import pytest
from benchmark_scripts import assert_refuses, imported, run_for_json

TINY = ["--num-sentences", "5", "--batch", "3", "--beam-size", "2", "--output-length", "4"]
TINY += ["--num-layers", "1", "--d-model", "8", "--d-ff", "13", "--num-heads", "2"]
TINY += ["--vocab-size", "307", "--num-repeats", "3"]


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
    figures, progress = run_for_json(benchmark.main, TINY)
    assert figures["num_target_tokens"] == 5 * 4
    assert figures["options"]["batch"] == 3
    assert figures["environment"]["versions"]["jax"]
    assert progress.count("(timed)") == 3
    (result,) = figures["results"]
    assert result["name"] == "flax_transformer"
    assert result["ours_against"] == 1
    for slower, faster in (("lower", "upper"), ("median", "median"), ("upper", "lower")):
        speed = 20 / result["seconds"][slower]
        np.testing.assert_allclose(result["tokens_per_second"][faster], speed, rtol=1e-12)


def test_the_table_says_how_many_times_the_speed_of_each_ours_is(benchmark, work, capsys):
    seconds = {
        "flax_transformer": benchmark.Spread(1.0, 2.0, 4.0),
        "another": benchmark.Spread(4.0, 5.0, 8.0),
    }
    benchmark.show(benchmark.compare(seconds, work), work, benchmark.Decode())
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "another" in line)
    assert "2.50" in row
    assert "2 to 5" in row
    assert "jax" in printed


def test_batches_hold_neighbours_in_length_padded_to_few_lengths(work):
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
    benchmark.check_lengths("ours", benchmark.our_search(work), work)
    with pytest.raises(RuntimeError, match=r"a short one gave 5 outputs of \[3, 4\] tokens"):
        benchmark.check_lengths("a short one", lambda: [[[7] * 4] * 4, [[7] * 3]], work)


def test_a_part_is_left_out_where_asked_for_and_nowhere_else(benchmark, work, monkeypatch):
    asked = []
    search = importlib.import_module("decode_search")
    monkeypatch.setattr(search, "our_search", lambda work, left_out=None: asked.append(left_out))
    assert list(benchmark.searches_without_parts(work)) == [
        *("encoder", "self-attention", "cross-attention", "feed-forward"),
        *("ranking", "vocabulary"),
    ]
    config = search.EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=8, d_ff=13, num_heads=2
    )
    called = []

    def note(call, args, kwargs, context):
        called.append("/".join(context.module.path))
        return call(*args, **kwargs)

    with asked[2], search.nn.intercept_methods(note):
        model = search.EncoderDecoder(config, 61)
        tokens = search.jnp.ones((1, 3), int)
        search.jax.eval_shape(model.init, search.jax.random.key(0), tokens, tokens)
    assert "decoder_0/self_attention/query" in called
    assert "decoder_0/cross_attention/key" in called
    assert "decoder_0/cross_attention/query" not in called


def test_the_peers_decode_the_same_sentences_to_the_same_length(benchmark, work):
    for name in benchmark.decode_torch.PACKAGES:
        pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")
    model = benchmark.decode_torch.marian_model(work)
    searches = {
        "marian": benchmark.decode_torch.marian_search(work, model),
        "ctranslate2": benchmark.decode_torch.ctranslate2_search(work, model),
    }
    found = {}
    for name, search in searches.items():
        benchmark.check_lengths(name, search, work)
        found[name] = [list(map(int, output)) for batch in search() for output in batch]
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
        benchmark.check_lengths(dtype, search.our_search(work._replace(dtype=dtype)), work)
    assert types == ["float32", "bfloat16"]
    assert benchmark.Decode(num_sentences=2, dtype="bfloat16").work().dtype == "bfloat16"


def test_a_package_that_is_not_there_is_named(benchmark, work, monkeypatch):
    monkeypatch.setattr(benchmark.decode_torch, "PACKAGES", ("no_such_package",))
    with pytest.raises(benchmark.UserError, match="no no_such_package: pip install"):
        benchmark.decode_torch.marian_model(work)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-repeats", "0"], "num_repeats must be at least 1, not 0"),
        (["--vocab-size", "259"], "vocab_size must be above 259, not 259"),
        (["--num-heads", "3"], "d_model 256 must divide by 3 heads"),
        (["--manual-dir", "no/such"], "no Multi30k in no/such: --manual-dir lacks train.en or"),
        ([*TINY, "--flax-examples", "no/such"], "no no/such/examples/wmt/models.py: give --flax"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(benchmark, words, message):
    assert_refuses(benchmark.main, words, message)


def test_more_sentences_than_there_are_cannot_be_asked_for(benchmark, multi30k):
    with pytest.raises(benchmark.UserError, match="num_sentences must be at most 3, not 5"):
        benchmark.Decode(multi30k, num_sentences=5, vocab_size=307).work()
