"""ViT as a classifier of images."""

from collections.abc import Mapping
from typing import Any

from flax_transformer.interchange.config_fields import Field, ignored, must, takes
from flax_transformer.interchange.families.bert import SIZES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule, affine, attention, expand, norm
from flax_transformer.models.vision import VisionConfig


def square(key: str, default: int) -> Field:
    """Makes the field of a size in pixels: one number for both directions, or two."""

    def read(config: Mapping[str, Any]) -> dict[str, Any]:
        size = config.get(key, default)
        return {key: (size, size) if isinstance(size, int) else tuple(size)}

    def write(config: Any) -> dict[str, Any]:
        height, width = getattr(config, key)
        return {key: height if height == width else [height, width]}

    return Field((key,), read, write)


FIELDS = (
    *SIZES,
    square("image_size", 224),
    square("patch_size", 16),
    takes("num_channels", "num_channels", 3),
    must("qkv_bias", True),
    # Those of other heads than that of classes.
    ignored("encoder_stride", "pooler_act", "pooler_output_size"),
)


def rules(config: Any) -> list[Rule]:
    """Returns the rules of ViT."""
    embeddings, layer = "vit.embeddings", "vit.encoder.layer.{i}"
    encoder, ours = "image_encoder", "image_encoder/encoder_{i}"
    heads = [f"{layer}.attention.attention.{name}" for name in ("query", "key", "value")]
    layers = [
        *attention(f"{ours}/attention", [*heads, f"{layer}.attention.output.dense"]),
        *norm(f"{ours}/attention_residual/normalize", f"{layer}.layernorm_before"),
        *affine(f"{ours}/feed_forward/hidden", f"{layer}.intermediate.dense"),
        *affine(f"{ours}/feed_forward/output", f"{layer}.output.dense"),
        *norm(f"{ours}/feed_forward_residual/normalize", f"{layer}.layernorm_after"),
    ]
    projection = f"{embeddings}.patch_embeddings.projection"
    pixels = "o channels rows columns -> (rows columns channels) o"
    return [
        Rule("patch_embedding/kernel", f"{projection}.weight", pixels),
        Rule("patch_embedding/bias", f"{projection}.bias"),
        Rule(f"{encoder}/class_token", f"{embeddings}.cls_token", "1 1 d -> d"),
        Rule(f"{encoder}/positions/table", f"{embeddings}.position_embeddings", "1 n d -> n d"),
        *expand(layers, config.num_layers),
        *norm(f"{encoder}/encoder_norm", "vit.layernorm"),
        *affine("classifier", "classifier"),
    ]


VIT = Family(
    VisionConfig,
    FIELDS,
    rules,
    {"": "ViTForImageClassification"},
    prefix="vit.",
    unused=(r"(vit\.)?pooler\.dense\.(weight|bias)",),
)
