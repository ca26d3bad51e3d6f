"""Named sizes of the models beside the encoder-decoder, as they were published."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from flax_transformer.models.decoder_only import DecoderOnly, DecoderOnlyConfig
from flax_transformer.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from flax_transformer.models.video import VideoConfig, VideoTransformer
from flax_transformer.models.vision import VisionTransformer
from flax_transformer.models.vision_config import VisionConfig


class Published(NamedTuple):
    """A model of a published size.

    Attributes:
        model: the module.
        inputs: shape and type of what it was published with, for one example.
        outputs: shape of what it makes of that.
        parameters: published count, rounded to a tenth of a million where it was so published.
        source: where that count stands.
        method: the method that makes these outputs, and whose parameters are counted.
    """

    model: nn.Module
    inputs: jax.ShapeDtypeStruct
    outputs: tuple[int, ...]
    parameters: int
    source: str
    method: str = "__call__"


def _text(length: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, length), jnp.int32)


_IMAGE = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
_VIDEO = jax.ShapeDtypeStruct((1, 32, 224, 224, 3), jnp.float32)


def _vivit(parameters: int, **settings: Any) -> Published:
    """ViViT-B/16x2 with the 400 classes of Kinetics; the paper's counts are in tenths of millions.

    The kind of pooling is that of the authors' code, which has class tokens where the variant has
    room for them.
    """
    model = VideoTransformer(VideoConfig(**settings), num_classes=400)
    return Published(model, _VIDEO, (1, 400), parameters, "Arnab et al. 2021, table 2")


ZOO: dict[str, Published] = {
    "gpt2-small": Published(
        DecoderOnly(DecoderOnlyConfig(), vocab_size=50_257),
        _text(1024),
        (1, 1024, 50_257),
        124_439_808,
        "Hugging Face's GPT2LMHeadModel of gpt2",
    ),
    # With the pooler, but without the heads of masked tokens and of classes.
    "bert-base": Published(
        EncoderOnly(EncoderOnlyConfig(), vocab_size=30_522),
        _text(512),
        (1, 768),
        109_482_240,
        "Hugging Face's BertModel of bert-base-uncased",
        method="pool",
    ),
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
    "ViViT-B/16x2-factorised-encoder": _vivit(115_100_000, variant="factorised_encoder"),
    "ViViT-B/16x2-factorised-self-attention": _vivit(
        117_300_000, variant="factorised_self_attention", pooling="mean"
    ),
    "ViViT-B/16x2-factorised-dot-product": _vivit(
        88_900_000, variant="factorised_dot_product", pooling="mean"
    ),
}
