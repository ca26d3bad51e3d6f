"""Linen modules: they add parameters and random keys to the pure functions."""

from flax_transformer.modules.attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.dropout import Dropout
from flax_transformer.modules.embedding import PositionalEmbedding, TokenEmbedding
from flax_transformer.modules.feed_forward import FeedForward
from flax_transformer.modules.layers import DecoderLayer, EncoderLayer, Residual
from flax_transformer.modules.normalization import NORMS, BatchNorm, LayerNorm, RMSNorm
from flax_transformer.modules.space_time import SpaceTimeLayer

__all__ = [
    "NORMS",
    "BatchNorm",
    "DecoderLayer",
    "Dropout",
    "EncoderLayer",
    "FeedForward",
    "KeyValue",
    "LayerNorm",
    "MultiHeadAttention",
    "PositionalEmbedding",
    "RMSNorm",
    "Residual",
    "SpaceTimeLayer",
    "TokenEmbedding",
]
