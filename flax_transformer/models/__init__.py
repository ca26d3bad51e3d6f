"""Models, each composed of modules, and their named sizes."""

from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.presets import PRESETS

__all__ = ["PRESETS", "EncoderDecoder", "EncoderDecoderConfig"]
