"""The options of layers, of their stacks and of embeddings, each declared and documented once."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from flax_transformer.errors import UserError, check_positive, option, refuse, unknown, unknown_part
from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.functional.heads import attention_implementations
from flax_transformer.functional.relative import RotaryLayout
from flax_transformer.functional.rotary_scaling import RotaryScalingKind
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS
from flax_transformer.modules.norms import NORMS
from flax_transformer.modules.observe import Remat
from flax_transformer.modules.token_embedding import EmbeddingScaling

ComputeType = Literal["float32", "bfloat16"]
NormPlacement = Literal["post", "pre", "both"]
# Fields that may be a tuple of values, for one layer after the other.
BY_LAYER = ("attention_norm", "attention_window", "positions", "rotary_base")


@dataclasses.dataclass(frozen=True)
class LayerOptions:
    """Sizes and choices of a Transformer's layers; the defaults are the paper's base model.

    The configs of models inherit it; `of_layer` gives a single layer's options.
    """

    d_model: int = 512
    """Width of the embeddings and of the vectors between layers."""
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
    attention_window: int | tuple[int | None, ...] | None = None
    """Positions that self-attention sees to each side, a position itself included; all if not
    given. Several values apply to the first layers, and then repeat."""
    attention_bias: bool = False
    """Biases in the projections of attention; the paper's formulas have none."""
    attention_output_bias: bool = True
    """With attention_bias: a bias in the output projection too."""
    attention_scale: float | None = None
    """Factor of the scores: 1 / sqrt(key_dim) if not given, 1 in T5."""
    attention_soft_cap: float | None = None
    """Bound c of the scores, c tanh(scores / c) as in Gemma 2; none if not given."""
    normalize_query_key: bool = False
    """Normalization of every head's queries and keys, which keeps large models stable."""
    query_key_norm_epsilon: float = 1e-6
    """Term added to the mean square in normalize_query_key."""
    attention_implementation: str = "auto"
    """auto: xla (all scores at once), or for very many scores blockwise (one block of queries at a
    time), which needs little memory. cudnn: fused on NVIDIA GPUs, only in bfloat16. If weights are
    shown, xla computes them."""
    norm: str = "layer"
    """Normalization: layer (the paper), rms, rms_plus_one (Gemma) or batch."""
    norm_placement: NormPlacement = "post"
    """Normalization after each residual connection (post, the paper), of each sublayer's input
    (pre), or of its input and of its output (both, Gemma 2)."""
    attention_norm: bool | tuple[bool, ...] = True
    """pre and both: whether the input of self-attention is normalized, which ModernBERT's first
    layer omits. Several values apply as in attention_window."""
    norm_epsilon: float = 1e-6
    """Added to the variance in a normalization."""
    norm_bias: bool = True
    """Biases in layer and batch normalization; rms has none."""
    feed_forward: str = "dense"
    """Kind of the feed-forward networks: dense (the paper), or experts, of which each token uses a
    few."""
    num_experts: int = 8
    """experts: number of networks in every layer, each with d_ff hidden units."""
    experts_per_token: int = 2
    """experts: number of networks that the router chooses for each token."""
    balancing_weight: float = 0.01
    """experts: factor of the loss that spreads tokens evenly over the networks of a layer."""
    feed_forward_bias: bool = True
    """Biases in the feed-forward networks."""
    activation: str = "relu"
    """Function in the feed-forward networks: relu (the paper), gelu, gelu_tanh, silu, or the gated
    geglu, geglu_tanh and swiglu, with 1.5 times as many parameters."""
    positions: str | tuple[str, ...] = "sinusoidal"
    """Positional scheme; `flax-transformer positions` compares them. Several schemes apply to the
    first layers, and then repeat; each must act inside attention, or be none."""
    rotary_base: float | tuple[float, ...] = 10_000.0
    """Base of the wavelengths of rotary positions. Several values apply as in attention_window."""
    rotary_layout: RotaryLayout = "interleaved"
    """Pairs of features that rotary positions rotate: adjacent ones (interleaved), or those of the
    first and the second half of a head (halves), as in Hugging Face's Llama."""
    rotary_scaling: RotaryScalingKind = "none"
    """Change of rotary positions for texts longer than those of the training: linear, llama3 or
    yarn."""
    rotary_factor: float = 1.0
    """Number by which this change divides the lowest frequencies."""
    rotary_first_length: int = 8192
    """llama3, yarn: length of texts before the change, in tokens."""
    rotary_turns: tuple[float, float] = (1.0, 4.0)
    """llama3, yarn: pairs of features are unchanged if they turn more often than the second number
    within rotary_first_length, and changed wholly if they turn less often than the first."""
    relative_max_distance: int = 16
    """Largest distance, in tokens, that relative positions distinguish."""
    t5_num_buckets: int = 32
    """Number of distance ranges of the positional scheme t5."""
    t5_max_distance: int = 128
    """Distances from this one on, in tokens, share the last range of the positional scheme t5."""
    share_position_table: bool = False
    """One table of t5 or relative positions for all layers of an encoder or a decoder (T5)."""
    residual_dropout_rate: float = 0.1
    """Dropout of the embeddings and of each sublayer's output."""
    attention_dropout_rate: float = 0.0
    """Dropout of the attention weights."""
    feed_forward_dropout_rate: float = 0.0
    """Dropout of the feed-forward networks' hidden layers."""
    dtype: ComputeType = "float32"
    """Type of the computation; parameters and optimizer state stay float32."""
    remat: Remat = "none"
    """What the backward pass computes again instead of keeping it, from little to much memory saved
    and time lost: attention (scores and weights), dots (all but products with weights), or all
    (whole layers)."""

    def __post_init__(self) -> None:
        """Rejects values that no layer can have."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == () and field.name in BY_LAYER:
                raise UserError(
                    f"{option(f'model.{field.name}')} is empty: give a value or none at all"
                )
            several = isinstance(value, tuple) and field.name in BY_LAYER
            for single in value if several else (value,):
                self._check_number(field.name, single)
            if get_origin(field.type) is Literal and value not in get_args(field.type):
                raise unknown(option(f"model.{field.name}"), str(value), get_args(field.type))
        for name, known in (
            ("attention_implementation", attention_implementations()),
            ("positions", SCHEMES),
            ("norm", NORMS),
            ("activation", ACTIVATIONS),
            ("feed_forward", FEED_FORWARDS),
        ):
            self._check_part(name, known)
        refuse(self.contradictions())

    def _check_number(self, name: str, value: Any) -> None:
        if name.endswith("_rate"):
            if not 0 <= value < 1:
                raise UserError(f"{option(f'model.{name}')} must be in [0, 1), not {value}")
        elif isinstance(value, float):
            check_positive(option(f"model.{name}"), value)
        elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise UserError(f"{option(f'model.{name}')} must be at least 1, not {value}")

    def _check_part(self, name: str, known: Any) -> None:
        value = getattr(self, name)
        for single in value if isinstance(value, tuple) else (value,):
            if single not in known:
                raise unknown_part(option(f"model.{name}"), single, known)

    def contradictions(self) -> Iterator[tuple[bool, str]]:
        """Yields whether options of a layer exclude each other, with the message for each case."""
        groups = self.num_key_value_heads or self.num_heads
        by_layer, shares = isinstance(self.positions, tuple), self.share_position_table
        schemes = self.positions if isinstance(self.positions, tuple) else (self.positions,)
        yield (
            self.experts_per_token > self.num_experts,
            f"--model.experts-per-token {self.experts_per_token} exceeds --model.num-experts "
            f"{self.num_experts}: change one",
        )
        yield (
            None in (self.key_dim, self.value_dim) and self.d_model % self.num_heads != 0,
            f"--model.d-model {self.d_model} is not a multiple of --model.num-heads "
            f"{self.num_heads}: change one, or give --model.key-dim and --model.value-dim",
        )
        low, high = self.rotary_turns
        yield (
            not 0 < low < high,
            f"--model.rotary-turns {low} {high} must be positive and grow: give the smaller first",
        )
        yield (
            self.num_heads % groups != 0,
            f"--model.num-heads {self.num_heads} is not a multiple of --model.num-key-value-heads "
            f"{self.num_key_value_heads}: change one",
        )
        yield (
            self.norm_placement == "post" and self.attention_norm is not True,
            "--model.attention-norm False needs --model.norm-placement pre or both, not post: "
            "change one",
        )
        for name in schemes:
            yield (
                by_layer and SCHEMES[name].encode is not None,
                f"--model.positions {name} is added to the embeddings, so it cannot differ by "
                "layer: give it once, or choose schemes inside attention",
            )
            yield (
                shares and (by_layer or SCHEMES[name].head_table_shape is None),
                "--model.share-position-table needs --model.positions t5 or relative in all "
                f"layers, not {' '.join(schemes)}: choose one of these",
            )
        is_cudnn = self.attention_implementation == "cudnn"
        yield (
            is_cudnn and self.dtype != "bfloat16",
            f"--model.attention-implementation cudnn computes in bfloat16, not {self.dtype}: give "
            "--model.dtype bfloat16, or choose auto",
        )
        yield (
            is_cudnn and self.attention_soft_cap is not None,
            "--model.attention-implementation cudnn has no soft cap of the scores: leave "
            f"--model.attention-soft-cap {self.attention_soft_cap} out, or choose auto",
        )
        yield (
            is_cudnn and self.attention_dropout_rate > 0,
            "--model.attention-implementation cudnn has no dropout of the weights: set "
            f"--model.attention-dropout-rate {self.attention_dropout_rate} to 0, or choose auto",
        )

    def head_dims(self) -> tuple[int, int]:
        """Returns the widths of a head's keys and of its values."""
        per_head = self.d_model // self.num_heads
        return self.key_dim or per_head, self.value_dim or per_head

    def embedded_positions(self) -> str:
        """Returns the scheme that is added to embeddings; none if schemes differ by layer."""
        return "none" if isinstance(self.positions, tuple) else self.positions

    def period(self) -> int:
        """Returns the number of layers after which the options repeat."""
        values = [getattr(self, name) for name in BY_LAYER]
        return math.lcm(*(len(value) for value in values if type(value) is tuple))

    def of_layer(self, index: int = 0, **changes: Any) -> "LayerOptions":
        """Returns the options of one layer, with a single value for options that differ by layer.

        Args:
            index: number of the layer in its stack, from 0.
            **changes: options to change, with their values.

        Example:
            >>> LayerOptions(attention_window=(4, None)).of_layer(2).attention_window
            4
        """
        values = {
            name: value[index % len(value)] if name in BY_LAYER and type(value) is tuple else value
            for name, value in self._values().items()
        }
        return LayerOptions(**values | changes)

    def mixes_rows(self) -> bool:
        """Whether a training example's loss depends on the other rows of its batch."""
        return self.norm == "batch" or self.feed_forward == "experts"

    def _values(self) -> Mapping[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(LayerOptions)}


@dataclasses.dataclass(frozen=True)
class ModelConfig(LayerOptions):
    """Sizes and choices of every Transformer; the defaults are the paper's base model."""

    scan_layers: bool = False
    """Compile one layer and loop over all: quicker compilation of deep models; parameters are
    stacked."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Sizes and choices of every Transformer of tokens; the defaults are the paper's base model."""

    max_positions: int = 1024
    """Rows of a learned table of positions, and the length by which a decoder scales positions to
    [0, 1]; other schemes have no such limit."""
    position_offset: int | None = None
    """Position of a text's first token, in encodings that are added to embeddings: 2 in RoBERTa and
    BART, and 0 if not given."""
    embedding_scaling: EmbeddingScaling = "inputs"
    """Whether sqrt(d_model) multiplies the embeddings (inputs, the paper), divides the logits
    (logits), or is left out (none, as in BERT and GPT-2)."""
    embedding_norm: bool = False
    """Normalization of the embeddings with their positions, as in BERT and BART."""
    tied_logits: bool = True
    """Compute the logits by the embedding matrix (the paper), or by a separate one."""
    logits_bias: bool = False
    """A bias in every token's logit, as in BART and Marian."""
    logits_soft_cap: float | None = None
    """Bound c of the logits, c tanh(logits / c) as in Gemma 2; none if not given."""

    def position_limit(self) -> int | None:
        """Returns the largest length of a text with a learned position table; None without one."""
        has_table = SCHEMES[self.embedded_positions()].has_table
        return self.max_positions - (self.position_offset or 0) if has_table else None
