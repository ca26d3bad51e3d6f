import importlib
import json
import sys

import jax
import numpy as np
import pytest
from benchmark_scripts import assert_refuses, imported, turns_in_this_process
from small import make_experiment, with_fields

from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def on_path():
    """The scripts find the files beside them as they do when they are run."""
    with imported("work"):
        yield


@pytest.fixture(scope="module")
def train_step(on_path):
    return importlib.import_module("train_step")


@pytest.fixture(scope="module")
def tiny(on_path):
    """A size whose logits are so many that the loss cuts them into chunks."""
    size = importlib.import_module("peers.size")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(size.SIZES, "tiny", size.Size(1, 6, 11, 2, 19_373, 31, 7))
        yield size.SIZES["tiny"]


EXAMPLE_TRAIN = """
import collections
import optax
import tensorflow as tf
import models
from flax.training.train_state import TrainState as Base

class TrainState(Base):
    dynamic_scale: object

def create_learning_rate_schedule(learning_rate, warmup_steps):
    return optax.constant_schedule(learning_rate)

def compute_metrics(logits, labels, weights):
    return {"correct": (logits.argmax(-1) == labels).sum()}

def evaluate(dataset: tf.data.Dataset):
    pass

def train_step(state, batch, config, learning_rate_fn, label_smoothing, dropout_rng):
    import jax, optax
    def loss(params):
        inputs, targets = batch["inputs"], batch["targets"]
        logits = models.Transformer(config).apply({"params": params}, inputs, targets)
        soft = optax.smooth_labels(jax.nn.one_hot(targets, config.vocab_size), label_smoothing)
        return optax.softmax_cross_entropy(logits, soft).mean(), logits
    (value, logits), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
    metrics = compute_metrics(logits, batch["targets"], batch["targets"] > 0)
    return state.apply_gradients(grads=grads), metrics | {"loss": value}
"""
EXAMPLE_MODELS = """
from typing import Any
import flax.linen as nn
from flax import struct

@struct.dataclass
class TransformerConfig:
    vocab_size: int
    output_vocab_size: int
    share_embeddings: bool
    logits_via_embedding: bool
    dtype: Any
    emb_dim: int
    num_heads: int
    num_layers: int
    qkv_dim: int
    mlp_dim: int
    max_len: int
    dropout_rate: float
    attention_dropout_rate: float
    deterministic: bool = False

class Transformer(nn.Module):
    config: TransformerConfig

    @nn.compact
    def __call__(self, inputs, targets):
        table = nn.Embed(self.config.vocab_size, self.config.emb_dim)
        memory = table(inputs.astype(int)).mean(1, keepdims=True)
        return table.attend(memory + table(targets.astype(int)))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A stand-in for a checkout of the Flax repository, with the names that its example has."""
    folder = tmp_path_factory.mktemp("flax")
    wmt = folder / "examples" / "wmt"
    wmt.mkdir(parents=True)
    (wmt / "train.py").write_text(EXAMPLE_TRAIN)
    (wmt / "models.py").write_text(EXAMPLE_MODELS)
    return folder


@pytest.fixture(scope="module")
def figures(train_step, tiny, checkout):
    """The JSON of a tiny run."""
    options = train_step.TrainStep(
        "tiny", flax_examples=checkout, peak_size=37, num_turns=1, num_repeats=3
    )
    with turns_in_this_process():
        results, product = train_step.measure(options)
    train_step.show(results, product, options)
    return json.loads(json.dumps(train_step.as_json(results, product, options)))


def test_every_system_is_timed_and_compared_with_ours(figures, tiny):
    ours, *others = figures["results"]
    assert [result["system"] for result in figures["results"]] == [
        "flax_transformer",
        "flax example",
        "flax example, our settings",
        "flax example, loss only",
        "flax example, loss only, our settings",
    ]
    for result in figures["results"]:
        seconds = result["seconds"]
        assert 0 < seconds["lower"] <= seconds["median"] <= seconds["upper"]
        assert result["target_tokens_per_second"] == 31 * 7 / seconds["median"]
        assert result["against_ours"] == seconds["median"] / ours["seconds"]["median"]
        assert result["peak_bytes"] == 2**20
    assert all(other["flops"] is other["share_of_peak"] is None for other in others)
    rate = ours["flops"] / ours["seconds"]["median"]
    peak = figures["matrix_product"]["flops_per_second"]
    np.testing.assert_allclose(ours["share_of_peak"], rate / peak, rtol=1e-12)


def test_the_circumstances_are_kept(figures, tiny, checkout):
    assert figures["size"] == tiny._asdict()
    assert figures["environment"]["versions"]["jax"] == jax.__version__
    assert figures["options"]["flax_examples"] == str(checkout)
    assert figures["command"] == sys.argv


def test_operations_are_counted_however_the_loss_is_cut(figures, tiny):
    tokens = tiny.num_pairs * tiny.length
    # Two operations a parameter and token forwards, four backwards.
    logits = 6 * tiny.vocab_size * tiny.d_model * tokens
    assert logits < figures["results"][0]["flops"] < 3 * logits


def test_operations_are_counted_on_a_cpu_whatever_the_device(on_path, monkeypatch):
    work = importlib.import_module("work")
    asked, cpus = [], jax.local_devices(backend="cpu")
    monkeypatch.setattr(jax, "local_devices", lambda backend=None: asked.append(backend) or cpus)
    assert work.matrix_product(31, "float32").flops == 2 * 31**3
    assert asked == ["cpu"]

    def no_cpu(backend=None):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", no_cpu)
    with pytest.raises(UserError, match="unset JAX_PLATFORMS"):
        work.matrix_product(31, "float32")


def test_pytorch_trains(tiny):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[parity]'")
    size = tiny._replace(vocab_size=61)._asdict()
    step = importlib.import_module("peers.torch_step").make(size, "float32")
    losses = [step()["loss"] for _ in range(20)]
    assert losses[-1] < losses[0]


def test_the_example_trains_and_leaves_no_names_behind(tiny, checkout):
    flax_step = importlib.import_module("peers.flax_step")
    for with_metrics in (True, False):
        step = flax_step.make(tiny._asdict(), "float32", str(checkout), with_metrics)
        metrics = [step() for _ in range(3)]
        assert metrics[-1]["loss"] < metrics[0]["loss"]
        assert ("correct" in metrics[0]) == with_metrics
    assert not {"train", "models", "tensorflow", "clu", "input_pipeline"} & set(sys.modules)


def test_parts_are_what_a_step_saves_without_them(on_path):
    benchmark = importlib.import_module("where_time_goes")
    spread = importlib.import_module("timing").Spread
    medians = dict.fromkeys(benchmark.WITHOUT, 1.0) | {"layers": 4.0}
    medians |= {benchmark.STEP: 10.0, benchmark.FORWARD: 3.0, benchmark.UPDATE: 2.0}
    times = {name: spread(median, median, median) for name, median in medians.items()}
    seconds = benchmark.part_seconds(times, num_layers=3)
    expected = dict.fromkeys(benchmark.WITHOUT, 9.0) | {"layers": 6.0 * 3 / 2}
    assert seconds == expected | {benchmark.FORWARD: 3.0, benchmark.UPDATE: 2.0}
    assert "layers" not in benchmark.part_seconds(times, num_layers=1)


def test_the_parts_that_run_alone_can_run_again(tiny):
    work = importlib.import_module("work")
    config = importlib.import_module("contenders").model_config(tiny, "float32")
    loss = work.training_loss(config, tiny.vocab_size, tiny.num_pairs, tiny.length)
    total, weight, *_ = loss()
    assert (float(total), float(weight)) == (float(loss()[0]), 31 * 7)
    update = work.parameter_update(config, tiny.vocab_size)
    before = jax.tree.map(np.array, update())
    moved = jax.tree.map(lambda old, new: bool(np.any(old != new)), before, update())
    assert all(jax.tree.leaves(moved))


def test_pairs_fill_rows_in_order_until_one_side_is_full(on_path):
    packing = importlib.import_module("peers.flax_packing")
    source, target = [[5, 2], [6, 7, 2], [8, 2], [9, 2]], [[11, 2], [12, 2], [13, 14, 15, 2], [2]]
    pairs = TokenizedPairs(TokenizedText.of(source), TokenizedText.of(target))
    assert packing.fill_rows(pairs, [0, 1, 2, 3], 5) == [[0, 1], [2, 3]]
    # A row also ends after as many pairs as it has places.
    assert packing.fill_rows(pairs, [3, 3, 3, 3], 3) == [[3], [3], [3], [3]]
    assert packing.fill_rows(pairs, [3] * 9, 8)[-1] == [3]
    batch = packing.packed_batch(pairs, [[0, 1], [2]], 5)
    assert batch["inputs"].tolist() == [[5, 2, 6, 7, 2], [8, 2, 0, 0, 0]]
    assert batch["inputs_segmentation"].tolist() == [[1, 1, 2, 2, 2], [1, 1, 0, 0, 0]]
    assert batch["inputs_position"].tolist() == [[0, 1, 0, 1, 2], [0, 1, 0, 0, 0]]
    assert batch["targets"].tolist() == [[11, 2, 12, 2, 0], [13, 14, 15, 2, 0]]
    # Three rows give one batch of two, and the last is dropped.
    assert len(packing.packed_batches(pairs, [0, 1, 2, 3, 0], 2, 5)) == 1


def test_an_epoch_counts_every_real_target_token_once(on_path, tmp_path, checkout, monkeypatch):
    epoch = importlib.import_module("epoch")
    monkeypatch.setattr(epoch, "PACKED_LENGTH", 24)
    experiment = with_fields(make_experiment(tmp_path), "data", tokens_per_batch=48)
    options = epoch.EpochTime(flax_examples=checkout, num_epochs=2)
    with turns_in_this_process():
        results = epoch.measure(experiment, options)
    epoch.show(results)
    figures = json.loads(json.dumps(epoch.as_json(results, options)))["results"]
    ours, *others = figures
    systems = [result["system"] for result in figures]
    assert systems == [
        "flax_transformer",
        "flax example",
        "flax example, our settings",
        "flax example, loss only",
        "flax example, loss only, our settings",
    ]
    data = experiment.data
    pairs = epoch.tokenize_pairs(data, epoch.make_tokenizer(data), data.train_split)
    assert ours["target_tokens"] == pairs.target.tokens.size
    for result in figures:
        assert len(result["seconds"]) == 2
        rate = result["target_tokens"] / np.median(result["seconds"])
        assert result["target_tokens_per_second"] == rate
        assert result["against_ours"] == ours["target_tokens_per_second"] / rate
        assert 0 < result["padding_share"] < 1
    for other in others:
        # The last rows fill no batch.
        assert 0.5 < other["target_tokens"] / ours["target_tokens"] <= 1


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        ("train_step", ["--size", "W3"], "unknown --size 'W3'; known: W1, W2, big"),
        ("train_step", ["--num-turns", "0"], "--num-turns must be at least 1, not 0"),
        ("train_step", ["--num-repeats", "0"], "--num-repeats must be at least 1, not 0"),
        (
            "train_step",
            ["--flax-examples", "nowhere"],
            "no examples/wmt/train.py in nowhere",
        ),
        ("where_time_goes", ["--size", "W3"], "unknown --size 'W3'"),
        (
            "where_time_goes",
            ["--num-repeats", "0"],
            "--num-repeats must be at least 1, not 0",
        ),
        ("epoch", ["--num-epochs", "0"], "--num-epochs must be at least 1, not 0"),
        ("epoch", ["--flax-examples", "nowhere"], "no examples/wmt/train.py in nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(on_path, script, words, message):
    kind = {"train_step": "TrainStep", "where_time_goes": "WhereTimeGoes", "epoch": "EpochTime"}
    assert_refuses(getattr(importlib.import_module(script), kind[script]), words, message)


def test_a_contender_gets_only_its_own_settings(tiny, monkeypatch, tmp_path):
    contenders = importlib.import_module("contenders")
    monkeypatch.setattr(contenders, "find_spec", lambda name: name)
    script = tmp_path / "examples" / "wmt" / "train.py"
    script.parent.mkdir(parents=True)
    script.touch()
    found = contenders.peers(tiny, "float32", torch=True, flax_examples=tmp_path)
    keys = {name: set(contender.job) for name, contender in found.items()}
    assert keys.pop("torch") == {"size", "dtype"}
    assert set(map(frozenset, keys.values())) == {
        frozenset({"size", "dtype", "directory", "with_metrics"})
    }
