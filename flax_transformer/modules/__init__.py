"""Linen modules: they add parameters and random keys to the pure functions."""

from flax_transformer.modules.dropout_module import Dropout
from flax_transformer.modules.experts import Experts
from flax_transformer.modules.feed_forward_network import FeedForward
from flax_transformer.modules.layers import DecoderLayer, EncoderLayer, Residual
from flax_transformer.modules.multi_head_attention import KeyValue, MultiHeadAttention
from flax_transformer.modules.norms import NORMS, BatchNorm, LayerNorm, RMSNorm
from flax_transformer.modules.space_time import SpaceTimeLayer
from flax_transformer.modules.token_embedding import PositionalEmbedding, TokenEmbedding

__all__ = [
    "NORMS",
    "BatchNorm",
    "DecoderLayer",
    "Dropout",
    "EncoderLayer",
    "Experts",
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
