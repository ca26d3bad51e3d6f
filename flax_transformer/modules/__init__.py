"""Linen modules: they add parameters and random keys to the pure functions."""

from flax_transformer.modules.expert_layer import Experts
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS, FeedForward
from flax_transformer.modules.layer_options import LayerOptions
from flax_transformer.modules.layers import DecoderLayer, EncoderLayer, Past
from flax_transformer.modules.multi_head_attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.norms import NORMS, BatchNorm, Dropout, LayerNorm, Residual, RMSNorm
from flax_transformer.modules.observe import observe
from flax_transformer.modules.space_time import SpaceTimeLayer
from flax_transformer.modules.token_embedding import PositionalEmbedding, TokenEmbedding

__all__ = [
    "FEED_FORWARDS",
    "NORMS",
    "BatchNorm",
    "DecoderLayer",
    "Dropout",
    "EncoderLayer",
    "Experts",
    "FeedForward",
    "KeyValue",
    "LayerNorm",
    "LayerOptions",
    "MultiHeadAttention",
    "Past",
    "PositionalEmbedding",
    "RMSNorm",
    "Residual",
    "SpaceTimeLayer",
    "TokenEmbedding",
    "observe",
]
