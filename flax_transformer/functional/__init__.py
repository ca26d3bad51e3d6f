"""Pure functions of JAX arrays: no flax, no configuration, no state."""

from flax_transformer.functional.attention import (
    attend,
    attention_scores,
    attention_weights,
    soft_cap,
    weighted_values,
)
from flax_transformer.functional.cache import (
    Cache,
    Written,
    append,
    lay_down,
    lineage_mask,
    read_all,
    read_own,
)
from flax_transformer.functional.dropout import dropout_multiplier, random_trials
from flax_transformer.functional.experts import (
    expert_feed_forward,
    expert_weights,
    load_balancing_loss,
)
from flax_transformer.functional.feed_forward import (
    ACTIVATIONS,
    Activation,
    feed_forward,
    geglu,
    geglu_tanh,
    gelu,
    gelu_tanh,
    relu,
    silu,
    swiglu,
)
from flax_transformer.functional.heads import multi_head_attend, over_heads
from flax_transformer.functional.layout import (
    Layout,
    Positions,
    lay_out,
    lay_out_cached,
    lay_out_unpadded,
    segment_lengths,
    segment_mask,
    segment_positions,
    token_segments,
)
from flax_transformer.functional.losses import (
    label_smoothed_cross_entropy,
    linear_cross_entropy,
)
from flax_transformer.functional.low_rank import add_low_rank
from flax_transformer.functional.masks import (
    causal_mask,
    combine_masks,
    padding_mask,
    window_mask,
)
from flax_transformer.functional.normalization import (
    batch_norm,
    batch_statistics,
    layer_norm,
    rms_norm,
)
from flax_transformer.functional.patches import (
    grid_coordinates,
    split_patches,
    split_tubelets,
)
from flax_transformer.functional.pooling import (
    POOLINGS,
    first_token,
    max_of_tokens,
    mean_of_tokens,
)
from flax_transformer.functional.positional import (
    learned_positions,
    position_numbers,
    resize_position_table,
    scaled_positions,
    sinusoidal_2d_positions,
    sinusoidal_positions,
)
from flax_transformer.functional.projection import (
    convolve,
    embed,
    embed_one_hot,
    project,
    token_logits,
)
from flax_transformer.functional.quantization import EightBitArray, quantize
from flax_transformer.functional.relative import (
    alibi_bias,
    alibi_slope,
    relative_bias,
    rotary,
    t5_bias,
    t5_bucket,
)
from flax_transformer.functional.rotary_scaling import RotaryScaling, rotary_angles
from flax_transformer.functional.schemes import (
    SCHEMES,
    Head,
    PositionalScheme,
    positional_scheme,
)

__all__ = [
    "ACTIVATIONS",
    "POOLINGS",
    "SCHEMES",
    "Activation",
    "Cache",
    "EightBitArray",
    "Head",
    "Layout",
    "PositionalScheme",
    "Positions",
    "RotaryScaling",
    "Written",
    "add_low_rank",
    "alibi_bias",
    "alibi_slope",
    "append",
    "attend",
    "attention_scores",
    "attention_weights",
    "batch_norm",
    "batch_statistics",
    "causal_mask",
    "combine_masks",
    "convolve",
    "dropout_multiplier",
    "embed",
    "embed_one_hot",
    "expert_feed_forward",
    "expert_weights",
    "feed_forward",
    "first_token",
    "geglu",
    "geglu_tanh",
    "gelu",
    "gelu_tanh",
    "grid_coordinates",
    "label_smoothed_cross_entropy",
    "lay_down",
    "lay_out",
    "lay_out_cached",
    "lay_out_unpadded",
    "layer_norm",
    "learned_positions",
    "lineage_mask",
    "linear_cross_entropy",
    "load_balancing_loss",
    "max_of_tokens",
    "mean_of_tokens",
    "multi_head_attend",
    "over_heads",
    "padding_mask",
    "position_numbers",
    "positional_scheme",
    "project",
    "quantize",
    "random_trials",
    "read_all",
    "read_own",
    "relative_bias",
    "relu",
    "resize_position_table",
    "rms_norm",
    "rotary",
    "rotary_angles",
    "scaled_positions",
    "segment_lengths",
    "segment_mask",
    "segment_positions",
    "silu",
    "sinusoidal_2d_positions",
    "sinusoidal_positions",
    "soft_cap",
    "split_patches",
    "split_tubelets",
    "swiglu",
    "t5_bias",
    "t5_bucket",
    "token_logits",
    "token_segments",
    "weighted_values",
    "window_mask",
]
