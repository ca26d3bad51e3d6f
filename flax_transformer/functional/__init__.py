"""Pure functions of JAX arrays: no flax, no configuration, no state."""

from flax_transformer.functional.attention import attend, multi_head_attend
from flax_transformer.functional.cache import Cache, append
from flax_transformer.functional.dropout import dropout_multiplier
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.functional.masks import causal_mask, combine_masks, padding_mask
from flax_transformer.functional.positional import (
    SCHEMES,
    PositionalScheme,
    learned_positions,
    sinusoidal_positions,
)

__all__ = [
    "SCHEMES",
    "Cache",
    "PositionalScheme",
    "append",
    "attend",
    "causal_mask",
    "combine_masks",
    "dropout_multiplier",
    "label_smoothed_cross_entropy",
    "learned_positions",
    "multi_head_attend",
    "padding_mask",
    "sinusoidal_positions",
]
