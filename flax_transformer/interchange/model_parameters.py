"""The module of a config, and the shapes of its parameters, without any memory for them."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from flax_transformer.tasks.tagging.tagger import tag_logits

# Part of a model (see `Rule.part`) -> the method, or function, that has its parameters.
_METHODS = {"tokens": "predict_tokens", "pool": "pool", "classes": "classify", "tags": tag_logits}
COUNTS = {
    "encoder": ("num_encoder_layers", "num_layers"),
    "decoder": ("num_decoder_layers", "num_layers"),
}
LAYER = re.compile(r"(.*/|)(encoder|decoder)_(\d+)/(.*)")


def build(config: Any, vocab_size: int, num_classes: int) -> nn.Module:
    """Makes the module of a config.

    Args:
        config: of any of our models.
        vocab_size: number of tokens, for models of tokens.
        num_classes: number of classes, for models of classes.
    """
    if config.reads == "images":
        return config.build(num_classes=num_classes)
    if config.gives == "vectors":
        return config.build(vocab_size=vocab_size, num_classes=num_classes)
    return config.build(vocab_size=vocab_size)


def shapes_of(
    config: Any, vocab_size: int, num_classes: int, parts: Iterable[str]
) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each parameter of a module.

    Layers repeat, so that only the first ones are traced.

    Args:
        config: of the module, without scan_layers.
        vocab_size: see `build`.
        num_classes: see `build`.
        parts: those of an `EncoderOnly` that have parameters, besides its body.
    """
    period, names = config.period(), {name for count in COUNTS.values() for name in count}
    counts = {name: getattr(config, name) for name in names if hasattr(config, name)}
    few = {name: min(number, period) for name, number in counts.items()}
    module = build(dataclasses.replace(config, **few), vocab_size, num_classes)
    methods = [_METHODS[part] for part in parts if part] or ["__call__"]

    def initialize(module: nn.Module, *inputs: Any) -> None:
        for method in methods:
            if isinstance(method, str):
                getattr(module, method)(*inputs)
            else:
                method(module, *inputs)

    def init() -> Any:
        key = jax.random.key(0)
        return module.init(key, *_inputs(config), method=initialize)["params"]

    flat: dict[str, Any] = flatten_dict(jax.eval_shape(init), sep="/")
    shapes = {}
    for path, shape in flat.items():
        for name in _repeated(path, counts, period):
            shapes[name] = shape.shape
    return shapes


def _repeated(path: str, counts: dict[str, int], period: int) -> list[str]:
    """Returns the paths of a parameter in all layers that are like its own."""
    match = LAYER.fullmatch(path)
    if match is None:
        return [path]
    before, side, first, after = match.groups()
    (number,) = [counts[name] for name in COUNTS[side] if name in counts]
    return [f"{before}{side}_{i}/{after}" for i in range(int(first), number, period)]


def _inputs(config: Any) -> tuple[jax.Array, ...]:
    """Returns the smallest inputs of a model."""
    if config.reads == "images":
        return (jnp.zeros((1, *config.image_size, config.num_channels)),)
    return (jnp.zeros((1, 1), jnp.int32),) * (2 if config.gives == "target_tokens" else 1)
