"""Models of named sizes: published models, and the models of the experiments."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.published_decoders import published_decoders
from flax_transformer.models.published_encoders import published_encoders
from flax_transformer.models.published_pairs import published_pairs, size_of_pair
from flax_transformer.models.published_size import Published
from flax_transformer.models.table3 import PAPER_VOCAB_SIZE, depth, table3
from flax_transformer.models.video import VideoConfig, VideoTransformer
from flax_transformer.models.vision import VisionConfig, VisionTransformer

_IMAGE = (jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32),)
_VIDEO = (jax.ShapeDtypeStruct((1, 32, 224, 224, 3), jnp.float32),)


def _vivit(parameters: int, **settings: Any) -> Published:
    """ViViT-B/16x2 with the 400 classes of Kinetics; the paper's counts are in tenths of millions.

    The pooling is that of the authors' code, which has class tokens if the variant supports them.
    """
    model = VideoTransformer(VideoConfig(**settings), num_classes=400)
    return Published(model, _VIDEO, (1, 400), parameters, "Arnab et al. 2021, table 2")


ZOO: dict[str, Published] = {
    "tiny": size_of_pair(
        None,
        "Wu et al. 2021, Good for Misconceived Reasons: the best size for Multi30k",
        PAPER_VOCAB_SIZE,
        EncoderDecoderConfig(
            d_model=128, d_ff=256, num_heads=4, residual_dropout_rate=0.3, **depth(4)
        ),
    ),
    "small": size_of_pair(
        None,
        "a size between",
        PAPER_VOCAB_SIZE,
        EncoderDecoderConfig(d_model=256, d_ff=1024, num_heads=8, **depth(3)),
    ),
    # Every row of the paper's Table 3, including base and big.
    **{
        name: size_of_pair(None, "Vaswani et al. 2017, Table 3", row.vocab_size, row.model)
        for name, row in table3().items()
    },
    **published_pairs(),
    **published_decoders(),
    **published_encoders(),
    "ViT-S/16": Published(
        VisionTransformer(VisionConfig(d_model=384, d_ff=1536, num_heads=6), num_classes=1000),
        _IMAGE,
        (1, 1000),
        22_050_664,
        "DeiT-S, the same architecture",
    ),
    "ViT-B/16": Published(
        VisionTransformer(VisionConfig(), num_classes=1000),
        _IMAGE,
        (1, 1000),
        86_567_656,
        "torchvision's ViT_B_16_Weights.IMAGENET1K_V1",
    ),
    "ViViT-B/16x2": _vivit(88_900_000),
    "ViViT-B/16x2-factorized-encoder": _vivit(115_100_000, variant="factorized_encoder"),
    "ViViT-B/16x2-factorized-self-attention": _vivit(
        117_300_000, variant="factorized_self_attention", pooling="mean"
    ),
    "ViViT-B/16x2-factorized-dot-product": _vivit(
        88_900_000, variant="factorized_dot_product", pooling="mean"
    ),
}


@functools.cache
def count_parameters(config: EncoderDecoderConfig, vocab_size: int) -> int:
    """Counts a model's parameters from their shapes, without allocating them.

    Example:
        >>> count_parameters(ZOO["base"].config, 37_000)
        63045632
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return count(EncoderDecoder(config, vocab_size), tokens, tokens)


def count(model: nn.Module, *inputs: Any, method: str = "__call__") -> int:
    """Counts the parameters of any model from their shapes, without allocating them.

    Args:
        model: the module.
        *inputs: arrays or their shapes.
        method: the method that initializes the model.

    Example:
        >>> count(nn.Dense(3), jnp.zeros((1, 2)))
        9
    """
    init = functools.partial(model.init, method=method)
    # The key is created inside: outside, it would start the devices.
    shapes = jax.eval_shape(lambda *given: init(jax.random.key(0), *given), *inputs)
    return sum(shape.size for shape in jax.tree.leaves(shapes["params"]))
