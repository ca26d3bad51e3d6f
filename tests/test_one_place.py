"""Adds one entry of each kind from outside of the package, as CONTRIBUTING says, and uses it.

An entry is one value in one dictionary; nothing else of the package knows it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import MODEL, PAIRS

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.commands import COMMANDS
from flax_transformer.conventions import CONVENTIONS, Convention, apply_convention
from flax_transformer.data.datasets.datasets import DATASETS, Dataset
from flax_transformer.data.datasets.split import Split
from flax_transformer.decoding.length_penalty import LENGTH_PENALTIES
from flax_transformer.evaluation.metric import METRICS, Metric
from flax_transformer.evaluation.scores import Score
from flax_transformer.functional.feed_forward import ACTIVATIONS, Activation
from flax_transformer.functional.kernels import KERNELS, Kernel
from flax_transformer.functional.pooling import POOLINGS
from flax_transformer.functional.schemes import SCHEMES, PositionalScheme
from flax_transformer.interchange import FAMILIES
from flax_transformer.models.published_size import Published
from flax_transformer.models.zoo import ZOO
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS
from flax_transformer.modules.layer_options import ModelConfig
from flax_transformer.modules.norms import NORMS
from flax_transformer.presets import apply_preset
from flax_transformer.tasks.classification.text_classification import TextClassification
from flax_transformer.tasks.tasks import TASKS
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS, UpdateRule

USED = set[str]()


def used(name: str) -> None:
    """Notes that an entry ran; of what is compiled, that it was traced."""
    USED.add(name)


# The parts of a model of tokens.


def count_parity(positions, _, d_model, __):
    """A positional scheme: whether a position is even."""
    used("scheme")
    return jnp.broadcast_to((positions % 2).astype(jnp.float32)[:, None], (len(positions), d_model))


class UnitNorm(nn.Module):
    """A normalization without parameters: vectors of length 1."""

    epsilon: float
    dtype: Any
    use_bias: bool

    def __call__(self, inputs, is_token=None, deterministic=True):
        used("norm")
        squares = jnp.sum(inputs * inputs, axis=-1, keepdims=True)
        return inputs / jnp.sqrt(squares + self.epsilon)


class OneMatrix(nn.Module):
    """A kind of feed-forward network: a single matrix."""

    options: ft.modules.LayerOptions

    @nn.compact
    def __call__(self, inputs, is_token=None, *, deterministic=True):
        used("feed_forward")
        return nn.Dense(self.options.d_model, use_bias=False)(inputs)


def attend_evenly(query, key, value, *, mask=None, **options):
    """A kernel of attention, and a wrong one: all keys that may be seen weigh the same."""
    used("kernel")
    return ft.functional.multi_head_attend(0 * query, key, value, mask=mask, implementation="xla")


# Around it.


def open_phrases(config, split):
    """A data set: twenty phrases, the same in each split."""
    used("dataset")
    folder = Path(config.data_dir) / "phrases"
    return Split(split, len(PAIRS), lambda: (p._asdict() for p in PAIRS), folder, "phrases-1")


def sign_descent(b1: float):
    """An optimizer: the sign of the mean gradient."""
    used("optimizer")
    return optax.trace(b1), optax.stateless(lambda tree, _: jax.tree.map(jnp.sign, tree))


def no_penalty(length, alpha):
    """A length penalty: none, however long."""
    used("length_penalty")
    return jnp.ones_like(jnp.asarray(length, jnp.float32)) + 0 * alpha


def length_ratio(hypotheses, references):
    """A metric: words written for each word of the references."""
    used("metric")
    written = sum(len(text.split()) for text in hypotheses)
    wanted = sum(len(texts[0].split()) for texts in references)
    return Score("length_ratio", written / wanted, None)


@pytest.fixture
def registered(monkeypatch):
    USED.clear()
    for registry, name, entry in (
        (SCHEMES, "parity", PositionalScheme("whether a position is even", encode=count_parity)),
        (NORMS, "unit", UnitNorm),
        (FEED_FORWARDS, "one_matrix", OneMatrix),
        (KERNELS, "evenly", Kernel(KERNELS["auto"].formula, attend_evenly, "by its name")),
        (DATASETS, "phrases", Dataset("twenty phrases", "pair", open_phrases)),
        (OPTIMIZERS, "signs", UpdateRule("signs of the mean gradient", ("b1",), sign_descent)),
        (LENGTH_PENALTIES, "none", no_penalty),
        (METRICS, "length_ratio", Metric(length_ratio, "")),
    ):
        monkeypatch.setitem(registry, name, entry)


def test_a_translator_of_parts_from_outside(registered, tmp_path):
    experiment = ft.Experiment(
        data=ft.ParallelTextConfig(
            "phrases",
            data_dir=str(tmp_path),
            vocab_size=307,
            max_length=24,
            batch_size=24,
            num_buckets=1,
        ),
        model=dataclasses.replace(
            MODEL,
            positions="parity",
            norm="unit",
            feed_forward="one_matrix",
            attention_implementation="evenly",
        ),
        optimizer=ft.OptimizerConfig("constant", 1e-3, name="signs"),
        training=ft.TrainingConfig(
            num_steps=2, evaluate_every_steps=2, keep_checkpoints=1, best_score="length_ratio"
        ),
        decoding=ft.DecodingConfig(length_penalty="none", max_extra_length=4),
    )
    workdir = tmp_path / "run"
    ft.train(experiment, workdir)
    record, _ = ft.evaluate(workdir)
    assert record.scores["length_ratio"].value >= 0
    assert ft.load_experiment(workdir / "experiment.json") == experiment
    assert isinstance(ft.load(workdir).translate("twenty two"), str)
    assert {
        *("scheme", "norm", "feed_forward", "kernel"),
        *("dataset", "optimizer", "length_penalty", "metric"),
    } == USED


# A task with a model of its own.


def cube(x):
    """An activation."""
    used("activation")
    return x**3


def last_token(hidden, is_token=None):
    """A pooling: the vector of the last token."""
    used("pooling")
    last = -1 if is_token is None else jnp.sum(is_token) - 1
    return hidden[last]


class Bag(nn.Module):
    """A model: a vector a token, and no attention."""

    config: "BagConfig"
    vocab_size: int
    num_classes: int

    @nn.compact
    def classify(self, tokens, *, segments=None, deterministic=True):
        used("model")
        x = nn.Embed(self.vocab_size, self.config.d_model)(tokens)
        x = ft.modules.FeedForward(self.config)(x)
        is_token = jnp.ones(tokens.shape, bool) if segments is None else segments != 0
        return nn.Dense(self.num_classes)(jax.vmap(POOLINGS[self.config.pooling])(x, is_token))


@dataclasses.dataclass(frozen=True)
class BagConfig(ModelConfig):
    """Sizes of a bag."""

    reads: ClassVar[str] = "tokens"
    gives: ClassVar[str] = "topics"
    pooling: str = "mean"
    """How one vector is made of those of the tokens."""

    def build(self, *, vocab_size: int, num_classes: int) -> Bag:
        return Bag(self, vocab_size, num_classes)


@dataclasses.dataclass(frozen=True)
class TopicsConfig(ft.ClassificationConfig):
    """How a model is trained for topics."""


class Topics(TextClassification):
    """A task: the topics of texts."""

    description = "a text to its topic"
    config = TopicsConfig
    takes = ("tokens", "topics")


def test_a_family_from_outside(monkeypatch, tmp_path):
    """The tensors of GPT-2 under the name of another model."""
    monkeypatch.setitem(FAMILIES, "own", FAMILIES["gpt2"]._replace(architectures={"": "Own"}))
    config = ft.DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2, max_positions=7)
    variables = config.build(vocab_size=11).init(jax.random.key(0), jnp.zeros((1, 2), int))
    ft.interchange.export_folder(config, variables, tmp_path, family="own")
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["Own"]
    again, _, read = ft.interchange.parameters(tmp_path)
    assert again == config
    jax.tree.map(np.testing.assert_array_equal, read, variables)


TEXTS = 2 * [("the sun is warm", 0), ("rain falls", 0), ("a goal at last", 1), ("they run", 1)]


def open_topics(config, split):
    """A data set of labeled texts."""
    records = [{"text": text, "label": label} for text, label in TEXTS]
    folder, class_names = Path(config.data_dir) / "topics", ("weather", "sports")
    return Split(split, 8, lambda: iter(records), folder, "topics-1", class_names)


@pytest.fixture
def topics(registered, monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "cube", Activation(cube, False, "x^3"))
    monkeypatch.setitem(POOLINGS, "last", last_token)
    monkeypatch.setitem(TASKS, "topics", Topics)
    monkeypatch.setitem(DATASETS, "topics", Dataset("four texts", "labeled_text", open_topics))
    model = BagConfig(d_model=8, d_ff=16, num_heads=1).build(vocab_size=11, num_classes=3)
    tokens = jax.ShapeDtypeStruct((1, 5), jnp.int32)
    size = 11 * 8 + 2 * 8 * 16 + 16 + 8 + 8 * 3 + 3
    preset = Published(model, (tokens,), (1, 3), size, "this file", method="classify")
    monkeypatch.setitem(ZOO, "bag", preset)
    return BagConfig(d_model=8, d_ff=16, num_heads=1, activation="cube", pooling="last")


def test_a_task_and_a_model_from_outside(topics, tmp_path, capsys):
    experiment = ft.Experiment(
        data=ft.LabeledTextConfig(
            "topics", data_dir=str(tmp_path), vocab_size=300, max_length=24, batch_size=8
        ),
        model=topics,
        task=TopicsConfig(),
        optimizer=ft.OptimizerConfig("constant", 1e-2),
        training=ft.TrainingConfig(num_steps=2, evaluate_every_steps=2, keep_checkpoints=1),
    )
    assert experiment.training.best_score == "accuracy"
    workdir = tmp_path / "run"
    ft.train(experiment, workdir)
    record, scored = ft.evaluate(workdir)
    assert 0 <= record.scores["accuracy"].value <= 100
    assert len(scored.outputs) == 8
    assert {"model", "activation", "pooling"} == USED
    [answer] = ft.load(workdir).classify("rain falls")
    assert answer.label in ("weather", "sports")
    assert apply_preset(experiment, "bag").model == dataclasses.replace(
        topics, activation="relu", pooling="mean"
    )
    capsys.readouterr()
    main(["classify", "--workdir", str(workdir), "they run"])
    assert capsys.readouterr().out.split()[0] in ("weather", "sports")
    with pytest.raises(SystemExit):
        main(["watch", "--workdir", str(workdir), "they run"])
    assert "holds a model without attention: choose another one" in capsys.readouterr().err
    main(["list", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert listed["tasks"]["topics"]["models"] == "Bag"
    assert listed["models"]["bag"]["parameters"] == ZOO["bag"].parameters
    assert "topics" in listed["datasets"]


def test_a_command_from_outside(monkeypatch, tmp_path, capsys):
    (tmp_path / "shout_command.py").write_text(SHOUT, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "shout", ("use", "shout_command", "Shout"))
    main(["shout", "--text", "hello"])
    assert capsys.readouterr().out == "HELLO\n"


SHOUT = '''
import dataclasses

@dataclasses.dataclass(frozen=True)
class Shout:
    """Print a text in capitals."""

    text: str
    """What to print."""

    def run(self) -> None:
        print(self.text.upper())
'''


def test_a_convention_from_outside(monkeypatch, capsys):
    paper = CONVENTIONS["paper"]
    fields = paper.fields | {"decoding.alpha": 0.25, "model.norm_placement": "pre"}
    monkeypatch.setitem(CONVENTIONS, "ours", Convention("this file", fields, paper.sources))
    experiment = apply_convention(ft.Experiment(), "ours")
    assert experiment.decoding is not None
    assert (experiment.decoding.alpha, experiment.model.norm_placement) == (0.25, "pre")
    main(["conventions"])
    assert "ours" in capsys.readouterr().out
