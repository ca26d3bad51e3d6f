"""Models, each composed of modules, and their named sizes."""

from flax_transformer.models.attention_weights import attention_weights
from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.presets import PRESETS
from flax_transformer.models.stacking import stack_layers, unstack_layers

__all__ = [
    "PRESETS",
    "EncoderDecoder",
    "EncoderDecoderConfig",
    "attention_weights",
    "stack_layers",
    "unstack_layers",
]
