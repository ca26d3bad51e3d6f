"""Image captioning as somebody adds it from outside: nothing of the package knows of it.

A data set, a model (an encoder of images whose tokens are the memory of a decoder of text), a task
and a predictor are registered here, and used by `train`, `evaluate` and `load`.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

import flax_transformer as ft
from flax_transformer.data.batches.batches import Batches, Group, in_rows
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.datasets import DATASETS, Dataset, open_split
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding import SearchLimits, search
from flax_transformer.evaluation.scores import Score
from flax_transformer.functional import Cache, label_smoothed_cross_entropy, lay_out
from flax_transformer.models import VisionConfig, VisionTransformer
from flax_transformer.models.layer_stack import lay_out_next, make_cache
from flax_transformer.models.published_size import Published
from flax_transformer.models.zoo import ZOO
from flax_transformer.modules import DecoderLayer, PositionalEmbedding, RMSNorm, TokenEmbedding
from flax_transformer.modules.layers import Past
from flax_transformer.tasks.target_tokens import shift_right
from flax_transformer.tasks.task import (
    TOKENIZER,
    Loss,
    Scored,
    Task,
    apply_in_training,
    draw,
    loss_of,
)
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.tasks import TASKS

SIDE = 8
COLORS = {"red": 0, "green": 1, "blue": 2}
PLACES = {"top left": (0, 0), "top right": (0, 4), "bottom left": (4, 0), "bottom right": (4, 4)}


# A data set: images of one colored square, and what they show in words.


@dataclasses.dataclass(frozen=True)
class CaptionsConfig(DataConfig):
    """Which images with captions."""

    kind: ClassVar[str] = "captioned_image"

    dataset: str = "squares"
    """Name of the data set."""
    batch_size: int = 24
    """Images of an update, over all devices."""


def draw_squares(split: str) -> list[dict[str, Any]]:
    rng = np.random.default_rng(len(split))
    records = []
    for color, place in itertools.product(COLORS, PLACES):
        for _ in range(40 if split == "train" else 4):
            image = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
            row, column = PLACES[place]
            image[row : row + 4, column : column + 4, COLORS[color]] += 180
            records.append({"image": image, "caption": f"a {color} square in the {place}"})
    return records


def open_squares(config: CaptionsConfig, split: str) -> Split:
    records = draw_squares(split)
    digest = hashlib.sha256(split.encode()).hexdigest()
    return Split(split, len(records), lambda: iter(records), Path(), digest)


# Batches of it.


class CaptionBatch(NamedTuple):
    """Images and the tokens of their captions."""

    images: Any
    target: Any
    target_segments: Any

    def count(self) -> int:
        return int(np.count_nonzero(self.target_segments))

    def describe(self) -> str:
        return f"{len(self.images)} images"


class CaptionBatches(Batches):
    """Equally many images a batch; rows of zeros fill the last one of an evaluation."""

    def __init__(self, split: Split, tokenizer: Tokenizer, batch_size: int, seed: int | None):
        records = list(split)
        self._images = np.stack([record["image"] for record in records])
        self._captions = TokenizedText.encode(tokenizer, (r["caption"] for r in records))
        self._batch_size = batch_size
        super().__init__(-(-len(records) // batch_size), seed)

    def plan(self, rng: np.random.Generator | None) -> list[Group]:
        indices = np.arange(len(self._images))
        indices = indices if rng is None else rng.permutation(indices)
        return [Group(rows) for rows in in_rows(indices, self._batch_size)]

    def make(self, indices: np.ndarray, form: Any) -> CaptionBatch:
        longest = int(self._captions.lengths.max())
        return CaptionBatch(self._images[indices], *self._captions.pad(indices, longest))

    def describe(self, devices: str) -> list[str]:
        return [f"{len(self._images)} images with captions"]


# A model.


@dataclasses.dataclass(frozen=True)
class CaptionerConfig(VisionConfig):
    """An encoder of images, and as many layers of a decoder of text."""

    reads: ClassVar[str] = "images"
    gives: ClassVar[str] = "target_tokens"

    def build(self, *, vocab_size: int) -> "Captioner":
        return Captioner(self, vocab_size)


class Captioner(nn.Module):
    """Writes a text about an image: every layer of the decoder attends to the image's patches."""

    config: CaptionerConfig
    vocab_size: int

    def setup(self) -> None:
        config = self.config
        self.image_encoder = VisionTransformer(config, num_classes=1)
        self.embedding = TokenEmbedding(self.vocab_size, config.d_model)
        self.positions = PositionalEmbedding("sinusoidal", 1)
        options = config.of_layer(positions="none")
        self.decoder = [DecoderLayer(options) for _ in range(config.num_layers)]
        self.decoder_norm = RMSNorm()

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        tokens: Int[Array, "batch length"],
        segments: Int[Array, "batch length"],
        deterministic: bool = True,
    ) -> Float[Array, "batch length vocab"]:
        memory = self.image_encoder.represent(images, deterministic=deterministic)
        layout = lay_out(segments, causal=True)
        assert layout.positions is not None
        x = self.positions(self.embedding(tokens), layout.positions.query)
        for layer in self.decoder:
            keys_values = layer.memory_keys_values(memory)
            x, _ = layer(x, layout, keys_values, deterministic=deterministic)
        return self.embedding.logits(self.decoder_norm(x))

    def start(self, images: Float[Array, "batch height width channels"], capacity: int) -> Cache:
        memory = self.image_encoder.represent(images)
        memories = tuple(layer.memory_keys_values(memory) for layer in self.decoder)
        return make_cache(self.config, len(self.decoder), len(images), capacity, memories)

    def decode(
        self, tokens: Int[Array, "rows new_length"], cache: Cache
    ) -> tuple[Float[Array, "rows new_length vocab"], Cache]:
        cache, layouts = lay_out_next(self.config, tokens, None, cache)
        layout, memories = layouts[None], cache.context
        assert layout.positions is not None
        x = self.positions(self.embedding(tokens), layout.positions.query)
        all_written = []
        for layer, memory, written in zip(self.decoder, memories, cache.written, strict=True):
            past = Past(written, cache.length, cache.lineage is not None)
            x, written = layer(x, layout, memory, past=past)
            all_written.append(written)
        length = cache.length + tokens.shape[1]
        cache = cache._replace(length=length, written=tuple(all_written))
        return self.embedding.logits(self.decoder_norm(x)), cache


# A task and its predictor.


@dataclasses.dataclass(frozen=True)
class CaptioningConfig(TaskConfig):
    """How a model is trained to write captions."""


def pixels(images: Any) -> Array:
    return jnp.asarray(images, jnp.float32) / 255


class CaptionWriter:
    """Writes captions of many images with a model that is loaded once."""

    def __init__(self, task: "CaptioningTask", variables: Any):
        self.task, self.variables = task, variables

    def caption(self, images: np.ndarray) -> list[str]:
        task, length = self.task, 16
        tokenizer, model = task.tokenizer, task.model

        def apply(*inputs: Any, method: str) -> Any:
            return model.apply(self.variables, *inputs, method=method)

        found = search(
            task.experiment.decoding,
            lambda tokens, cache: apply(tokens, cache, method="decode"),
            apply(pixels(images), length + 1, method="start"),
            jnp.full((len(images), 1), tokenizer.bos_id),
            SearchLimits(max_length=length, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id),
        )
        return [tokenizer.decode(row.tolist()) for row in np.asarray(found.tokens[:, 0])]


class CaptioningTask(Task):
    """Writes what an image shows."""

    description = "an image to a text about it"
    config = CaptioningConfig
    reads = (CaptionsConfig,)
    takes = ("images", "target_tokens")
    scores = ("exact_match",)
    unit = "target tokens"
    command = "caption"
    searches = True

    def __init__(self, experiment: Any, tokenizer: Tokenizer):
        self.experiment, self.tokenizer = experiment, tokenizer
        self.model = experiment.model.build(vocab_size=tokenizer.vocab_size)

    @classmethod
    def open(cls, experiment: Any, folder: Path, *, training: bool) -> "CaptioningTask":
        path = folder / TOKENIZER
        if path.exists():
            return cls(experiment, Tokenizer.load(path))
        records = open_split(experiment.data, experiment.data.train_split)
        return cls(experiment, Tokenizer.train((r["caption"] for r in records), 300))

    def save(self, folder: Path) -> None:
        self.tokenizer.save(folder / TOKENIZER)

    def batches(self, split: str, *, num_devices: int = 1) -> CaptionBatches:
        data, seed = self.experiment.data, self.experiment.seed
        return CaptionBatches(open_split(data, split), self.tokenizer, data.batch_size, seed)

    def init(self, rng: Any) -> Any:
        one = jnp.ones((1, 1), jnp.int32)
        images = jnp.zeros((1, SIDE, SIDE, 3))
        return draw(self.model, rng, images, one, one, method="__call__")

    def loss(self, variables: Any, batch: CaptionBatch, rng: Any) -> Loss:
        target, segments = jnp.asarray(batch.target), jnp.asarray(batch.target_segments)
        read = shift_right(target, segments, self.tokenizer.bos_id)
        logits, collections = apply_in_training(
            self.model, variables, rng, pixels(batch.images), read, segments, False
        )
        weights = (segments != 0).astype(jnp.float32)
        loss, weight = label_smoothed_cross_entropy(logits, target, weights)
        return loss_of(loss, weight, collections)

    def evaluate(self, variables: Any, split: Any, *, is_quick: bool = False) -> Scored:
        records = list(open_split(self.experiment.data, split))
        outputs = self.predictor(variables).caption(np.stack([r["image"] for r in records]))
        right = [out == record["caption"] for out, record in zip(outputs, records, strict=True)]
        scores = {"exact_match": Score("exact_match", 100 * sum(right) / len(right))}
        return Scored(scores, outputs, [f"  {outputs[0]}"], "")

    def predictor(self, variables: Any) -> CaptionWriter:
        return CaptionWriter(self, variables)

    def examples(self, batch: CaptionBatch) -> Iterator[dict[str, Any]]:
        for row, tokens in enumerate(np.asarray(batch.target)):
            yield {"row": row, "caption": self.tokenizer.decode(tokens.tolist())}


MODEL = CaptionerConfig(
    num_layers=1,
    d_model=32,
    d_ff=64,
    num_heads=4,
    image_size=(SIDE, SIDE),
    patch_size=(4, 4),
)


TOKENS = jax.ShapeDtypeStruct((1, 8), jnp.int32)


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            DATASETS, "squares", Dataset("colored squares", CaptionsConfig.kind, open_squares)
        )
        inputs = (jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32), TOKENS, TOKENS)
        model = MODEL.build(vocab_size=300)
        patch.setitem(ZOO, "captioner", Published(model, inputs, (1, 8, 300), None, "here"))
        patch.setitem(TASKS, "captioning", CaptioningTask)
        yield


@pytest.fixture(scope="module")
def workdir(registered, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("captioning")
    experiment = ft.Experiment(
        data=CaptionsConfig(),
        model=MODEL,
        task=CaptioningConfig(),
        optimizer=ft.OptimizerConfig("constant", 3e-3, 10, clip_norm=1.0),
        training=ft.TrainingConfig(
            num_steps=300,
            evaluate_every_steps=300,
            checkpoint_every_steps=300,
            keep_checkpoints=1,
            log_every_steps=100,
        ),
    )
    ft.train(experiment, folder)
    return folder


@pytest.mark.slow
def test_it_learns_to_write_captions(workdir):
    losses = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert losses
    _, scored = ft.evaluate(workdir, "test")
    assert scored.scores["exact_match"].value > 90


def test_a_loaded_model_writes_captions_of_images(workdir):
    records = draw_squares("new")
    captions = ft.load(workdir).caption(np.stack([record["image"] for record in records]))
    right = [c == record["caption"] for c, record in zip(captions, records, strict=True)]
    assert np.mean(right) > 0.9


def test_cached_decoding_gives_the_logits_of_the_call(registered):
    model = MODEL.build(vocab_size=11)
    images = jax.random.normal(jax.random.key(0), (2, SIDE, SIDE, 3))
    tokens = jax.random.randint(jax.random.key(1), (2, 5), 0, 11)
    variables = model.init(jax.random.key(2), images, tokens, jnp.ones_like(tokens))
    expected: Any = model.apply(variables, images, tokens, jnp.ones_like(tokens))
    cache: Any = model.apply(variables, images, 5, method="start")
    for i in range(5):
        step: Any = model.apply(variables, tokens[:, i : i + 1], cache, method="decode")
        logits, cache = step
        np.testing.assert_allclose(logits[:, 0], expected[:, i], rtol=0, atol=1e-5)


def test_the_experiment_survives_its_json(registered):
    experiment = ft.Experiment(data=CaptionsConfig(), model=MODEL, task=CaptioningConfig())
    text = json.dumps(experiment.to_json())
    assert ft.Experiment.from_json(json.loads(text)) == experiment
    assert experiment.decoding is not None
