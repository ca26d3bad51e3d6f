"""Models, each composed of modules, and their named sizes."""

from flax_transformer.models.decoder_only import DecoderOnly, DecoderOnlyConfig
from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from flax_transformer.models.stacking import looped, stack_layers, unstack_layers
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
    "looped",
    "resize_images",
    "stack_layers",
    "unstack_layers",
]
