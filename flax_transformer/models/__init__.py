"""Models, each composed of modules, and their named sizes."""

from flax_transformer.models.attention_weights import activations, attention_weights, looped
from flax_transformer.models.decoder_only import DecoderOnly, DecoderOnlyConfig
from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from flax_transformer.models.picture_attention import image_attention, video_attention
from flax_transformer.models.stacking import stack_layers, unstack_layers
from flax_transformer.models.video import VideoConfig, VideoTransformer
from flax_transformer.models.vision import VisionConfig, VisionTransformer, resize_images
from flax_transformer.models.zoo import ZOO

__all__ = [
    "ZOO",
    "DecoderOnly",
    "DecoderOnlyConfig",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "EncoderOnly",
    "EncoderOnlyConfig",
    "VideoConfig",
    "VideoTransformer",
    "VisionConfig",
    "VisionTransformer",
    "activations",
    "attention_weights",
    "image_attention",
    "looped",
    "resize_images",
    "stack_layers",
    "unstack_layers",
    "video_attention",
]
