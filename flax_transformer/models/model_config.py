"""What Transformers can be told about themselves, each field in one place.

The fields stand in three parts that are joined again, so that those of a text model keep their
order.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from flax_transformer.errors import UserError, check_positive, unknown
from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.functional.heads import AttentionImplementation
from flax_transformer.functional.pooling import POOLINGS
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.modules.layers import NormPlacement
from flax_transformer.modules.norms import NORMS
from flax_transformer.modules.token_embedding import EmbeddingScaling

ComputeType = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True)
class _Architecture:
    """What a Transformer computes."""

    d_model: int = 512
    """Width of embeddings and between layers."""
    d_ff: int = 2048
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 8
    """Attention heads in each layer."""
    key_dim: int | None = None
    """Width of a head's queries and keys (d_k); d_model / num_heads if not given."""
    value_dim: int | None = None
    """Width of a head's values (d_v); d_model / num_heads if not given."""
    num_key_value_heads: int | None = None
    """Heads of keys and values in self-attention and cross-attention, each shared by a group of
    query heads: num_heads if not given, 1 is multi-query attention."""
    attention_window: int | None = None
    """Positions that self-attention sees to each side, a position itself included; all if not
    given."""
    attention_bias: bool = False
    """Biases in the projections of attention; the paper's formulas have none."""
    normalize_query_key: bool = False
    """Normalisation of every head's queries and keys, which keeps large models stable."""
    attention_implementation: AttentionImplementation = "auto"
    """auto: plain attention (xla), or where there are very many scores a block of queries at a time
    (blockwise), which needs little memory; or cudnn: fused on NVIDIA GPUs, bfloat16 only. blockwise
    and cudnn show no attention weights."""
    norm: str = "layer"
    """Normalisation: layer (the paper), rms or batch."""
    norm_placement: NormPlacement = "post"
    """Normalisation after each residual connection (post, the paper) or before (pre)."""
    norm_epsilon: float = 1e-6
    """What a normalisation adds to the variance."""
    activation: str = "relu"
    """Function in the feed-forward networks: relu (the paper), gelu, gelu_tanh, silu, or the gated
    geglu and swiglu, whose hidden layer has half as many parameters again."""
    positions: str = "sinusoidal"
    """Positional scheme; `flax-transformer positions` compares them."""


@dataclasses.dataclass(frozen=True)
class _Text(_Architecture):
    """What a Transformer of tokens computes besides."""

    max_positions: int = 1024
    """Rows of a learned table of positions, and the length by which a decoder scales positions to
    [0, 1]; other schemes have no such limit."""
    embedding_scaling: EmbeddingScaling = "inputs"
    """Where sqrt(d_model) stands: times embeddings drawn small (inputs, the paper), below the
    logits of embeddings drawn large (logits), or nowhere (none, as in BERT and GPT-2)."""


@dataclasses.dataclass(frozen=True)
class _Computation:
    """What is dropped in training, and how a Transformer is computed."""

    residual_dropout_rate: float = 0.1
    """Dropout of the embeddings and of each sublayer's output."""
    attention_dropout_rate: float = 0.0
    """Dropout of the attention weights."""
    feed_forward_dropout_rate: float = 0.0
    """Dropout of the feed-forward networks' hidden layers."""
    dtype: ComputeType = "float32"
    """Type of the computation; parameters and optimizer state stay float32."""
    remat: bool = False
    """Compute each layer again in the backward pass instead of keeping its inside: less memory,
    more time."""
    scan_layers: bool = False
    """Compile one layer and loop over all: quicker compilation of deep models; parameters are
    stacked."""


@dataclasses.dataclass(frozen=True)
class LayerConfig(_Computation, _Architecture):
    """Sizes and choices that every Transformer has; the defaults are the paper's base."""

    def __post_init__(self) -> None:
        """Refuses values that no model can have."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_rate"):
                if not 0 <= value < 1:
                    raise UserError(f"model.{field.name} must be in [0, 1), not {value}")
            elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise UserError(f"model.{field.name} must be at least 1, not {value}")
        check_positive("model.norm_epsilon", self.norm_epsilon)
        self._check_choices()
        self._check_heads()
        self._check_cudnn()

    def _check_choices(self) -> None:
        for field in dataclasses.fields(self):
            is_literal = get_origin(field.type) is Literal
            known = get_args(field.type) if is_literal else CHOICES.get(field.name)
            value = getattr(self, field.name)
            if known is not None and value not in known:
                raise unknown(f"model.{field.name}", value, known)

    def _check_heads(self) -> None:
        if None in (self.key_dim, self.value_dim) and self.d_model % self.num_heads:
            raise UserError(
                f"model.d_model {self.d_model} is no multiple of model.num_heads "
                f"{self.num_heads}: change one, or give key_dim and value_dim"
            )
        if self.num_heads % (self.num_key_value_heads or self.num_heads):
            raise UserError(
                f"model.num_heads {self.num_heads} is no multiple of model.num_key_value_heads "
                f"{self.num_key_value_heads}: change one"
            )

    def _check_cudnn(self) -> None:
        if self.attention_implementation != "cudnn":
            return
        if self.dtype != "bfloat16":
            raise UserError(
                f"model.attention_implementation cudnn computes in bfloat16, not {self.dtype}: "
                "give --model.dtype bfloat16, or choose auto"
            )
        if self.attention_dropout_rate:
            raise UserError(
                "model.attention_implementation cudnn has no dropout of the weights: set "
                f"attention_dropout_rate {self.attention_dropout_rate} to 0, or choose auto"
            )

    def head_dims(self) -> tuple[int, int]:
        """The widths of a head's keys and of its values."""
        per_head = self.d_model // self.num_heads
        return self.key_dim or per_head, self.value_dim or per_head

    def layer_fields(self) -> dict[str, Any]:
        """The fields of an encoder or decoder layer, see `modules.layers.Layer`."""
        return {"scheme": self.positions} | {name: getattr(self, name) for name in LAYER_FIELDS}


@dataclasses.dataclass(frozen=True)
class TransformerConfig(LayerConfig, _Text):
    """Sizes and choices that every Transformer of tokens has; the defaults are the paper's base."""


# What a layer takes under the same name.
LAYER_FIELDS = (
    "num_heads",
    "d_model",
    "d_ff",
    "key_dim",
    "value_dim",
    "num_key_value_heads",
    "attention_bias",
    "normalize_query_key",
    "attention_implementation",
    "activation",
    "norm",
    "norm_placement",
    "norm_epsilon",
    "residual_dropout_rate",
    "attention_dropout_rate",
    "feed_forward_dropout_rate",
    "dtype",
)
# The fields that are names of a dictionary's entries; others name theirs by their type.
CHOICES: dict[str, Iterable[str]] = {
    "positions": SCHEMES,
    "norm": NORMS,
    "activation": ACTIVATIONS,
    "pooling": POOLINGS,
}
