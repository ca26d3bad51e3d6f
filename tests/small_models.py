"""Every model at a size that compiles in a second, with settings that reach all of its code."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from parameters import draw_parameters
from published_presets import PRESETS

from flax_transformer.functional import ACTIVATIONS, POOLINGS, SCHEMES
from flax_transformer.models import (
    ZOO,
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
    EncoderOnly,
    EncoderOnlyConfig,
    VideoConfig,
    VideoTransformer,
    VisionConfig,
    VisionTransformer,
)
from flax_transformer.modules import NORMS

VOCAB, CLASSES, LENGTH, ROWS = 11, 3, 6, 2
SIZES: dict[str, Any] = {"d_model": 12, "d_ff": 7, "num_heads": 2}
LAYERS: dict[str, Any] = SIZES | {"num_layers": 2}
BOTH_LAYERS: dict[str, Any] = SIZES | {"num_encoder_layers": 2, "num_decoder_layers": 2}
PIXELS: dict[str, Any] = {"image_size": (4, 6), "patch_size": (2, 3), "num_channels": 1}
FRAMES: dict[str, Any] = {"num_frames": 4, "num_time_layers": 1}


class SmallModel(NamedTuple):
    """A model, what it is called with, and by which method."""

    model: nn.Module
    inputs: tuple[np.ndarray, ...]
    method: str = "__call__"

    def init(self) -> Any:
        """Draws its variables."""
        return self.model.init(jax.random.key(0), *self.arrays(), method=self.method)

    def draw(self) -> Any:
        """Draws its variables without compiling, also those that begin as zeros and ones."""
        return draw_parameters(self.model, *self.arrays(), method=self.method)

    def arrays(self) -> tuple[jax.Array, ...]:
        """Its inputs on the device."""
        return tuple(map(jnp.asarray, self.inputs))

    def segments(self, *inputs: Any) -> dict[str, Any]:
        """Says of tokens which are padding: those of id 0."""
        if inputs[0].ndim > 2:
            return {}
        is_pair = isinstance(self.model, EncoderDecoder)
        names = ("source_segments", "target_segments") if is_pair else ("segments",)
        return {name: (x != 0).astype(jnp.int32) for name, x in zip(names, inputs, strict=True)}

    def named(self) -> dict[str, Any]:
        """Its inputs by the names of the arguments, as functions of `inspection` take them."""
        inputs = self.arrays()
        of_pair = isinstance(self.model, EncoderDecoder)
        one = {2: "tokens", 4: "images", 5: "videos"}[inputs[0].ndim]
        names = ("source", "target") if of_pair else (one,)
        return dict(zip(names, inputs, strict=True)) | self.segments(*inputs)

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        """Calls it, with its own inputs unless others are given."""
        inputs = inputs or self.arrays()
        options = self.segments(*inputs) | options
        return self.model.apply(variables, *inputs, method=self.method, **options)

    def train(self, params: Any, statistics: Any) -> Any:
        """Calls it as in training, with dropout and the statistics of the batch."""
        return self.apply(
            {"params": params, **statistics},
            deterministic=False,
            rngs={"dropout": jax.random.key(1)},
            mutable=list(statistics),
        )


def tokens() -> np.ndarray:
    """Texts of several lengths, padded on the right."""
    drawn = np.random.default_rng(0).integers(3, VOCAB, (ROWS, LENGTH), np.int32)
    drawn[1, 4:] = 0
    return drawn


def pixels(*axes: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, *axes)).astype(np.float32)


def translator(**settings: Any) -> SmallModel:
    config = EncoderDecoderConfig(**BOTH_LAYERS | settings)
    return SmallModel(EncoderDecoder(config, VOCAB), (tokens(), tokens()[:, :4]))


def decoder(**settings: Any) -> SmallModel:
    config = DecoderOnlyConfig(max_positions=LENGTH, **LAYERS | settings)
    return SmallModel(DecoderOnly(config, VOCAB), (tokens(),))


def encoder(method: str = "__call__", **settings: Any) -> SmallModel:
    config = EncoderOnlyConfig(max_positions=LENGTH, **LAYERS | settings)
    return SmallModel(EncoderOnly(config, VOCAB, CLASSES), (tokens(),), method)


def vision(**settings: Any) -> SmallModel:
    config = VisionConfig(**LAYERS | PIXELS | settings)
    return SmallModel(VisionTransformer(config, CLASSES), (pixels(4, 6, 1),))


def video(**settings: Any) -> SmallModel:
    config = VideoConfig(**LAYERS | PIXELS | FRAMES | settings)
    return SmallModel(VideoTransformer(config, CLASSES), (pixels(4, 4, 6, 1),))


def of_zoo(name: str) -> SmallModel:
    """A published model, made small."""
    model: Any = ZOO[name].model
    settings = {**LAYERS, **(PIXELS if ZOO[name].inputs[0].ndim > 2 else {"max_positions": LENGTH})}
    if ZOO[name].inputs[0].ndim == 5:
        settings |= FRAMES
    small = model.clone(config=dataclasses.replace(model.config, **settings))
    if hasattr(small, "vocab_size"):
        return SmallModel(small.clone(vocab_size=VOCAB), (tokens(),), ZOO[name].method)
    frames = (4,) if ZOO[name].inputs[0].ndim == 5 else ()
    inputs = pixels(*frames, 4, 6, 1)
    return SmallModel(small.clone(num_classes=CLASSES), (inputs,), ZOO[name].method)


# With a published number of parameters; the encoder-decoder is the translator below. The models of
# tests/published_presets.py differ from these in options that other entries have, too.
PUBLISHED: dict[str, Any] = {
    name: x for name, x in ZOO.items() if x.parameters is not None and name not in PRESETS
}
RATES: dict[str, Any] = dict.fromkeys(
    ("residual_dropout_rate", "attention_dropout_rate", "feed_forward_dropout_rate"), 0.3
)
MODELS: dict[str, SmallModel] = {
    **{name: of_zoo(name) for name in PUBLISHED},
    "translator": translator(),
    **{f"translator {scheme}": translator(positions=scheme) for scheme in SCHEMES},
    **{f"decoder {scheme}": decoder(positions=scheme) for scheme in SCHEMES},
    **{f"decoder {name}": decoder(activation=name) for name in ACTIVATIONS},
    **{f"encoder norm {norm}": encoder(norm=norm) for norm in NORMS},
    **{f"encoder pool {name}": encoder("classify", pooling=name) for name in POOLINGS},
    "encoder tokens": encoder("predict_tokens", token_dropout_rate=0.3, **RATES),
    "encoder convolution": encoder(convolution_width=3),
    "translator options": translator(
        num_key_value_heads=1, normalize_query_key=True, norm_placement="pre", **RATES
    ),
    "translator window": translator(attention_window=2, embedding_scaling="logits"),
    "decoder blockwise": decoder(attention_implementation="blockwise"),
    "decoder scanned": decoder(scan_layers=True, remat="all"),
    "encoder bfloat16": encoder("predict_tokens", dtype="bfloat16", **RATES),
    "decoder bfloat16": decoder(dtype="bfloat16", positions="rotary", num_key_value_heads=1),
    "vision grid": vision(positions="sinusoidal_2d", pooling="mean"),
    "video window": video(attention_window=2),
}
