"""What the configs of models have in common besides the options of their layers."""

import dataclasses
from typing import ClassVar

from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.modules.layer_options import ComputeType as ComputeType
from flax_transformer.modules.layer_options import LayerOptions
from flax_transformer.modules.token_embedding import EmbeddingScaling


@dataclasses.dataclass(frozen=True)
class ModelConfig(LayerOptions):
    """Sizes and choices that every Transformer has; the defaults are the paper's base."""

    prefix: ClassVar[str] = "model."

    remat: bool = False
    """Compute each layer again in the backward pass instead of keeping its inside: less memory,
    more time."""
    scan_layers: bool = False
    """Compile one layer and loop over all: quicker compilation of deep models; parameters are
    stacked."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """Sizes and choices that every Transformer of tokens has; the defaults are the paper's base."""

    max_positions: int = 1024
    """Rows of a learned table of positions, and the length by which a decoder scales positions to
    [0, 1]; other schemes have no such limit."""
    embedding_scaling: EmbeddingScaling = "inputs"
    """Where sqrt(d_model) is: times embeddings drawn small (inputs, the paper), below the logits of
    embeddings drawn large (logits), or nowhere (none, as in BERT and GPT-2)."""
    embedding_norm: bool = False
    """Normalization of the embeddings with their positions, as in BERT and BART."""
    tied_logits: bool = True
    """Make the logits by the matrix that embeds tokens (the paper), or by one of their own."""
    logits_bias: bool = False
    """A bias in every token's logit, as in BART and Marian."""
    logits_soft_cap: float | None = None
    """Bound c of the logits, c tanh(logits / c) as in Gemma 2; none if not given."""

    def position_limit(self) -> int | None:
        """The most tokens that a learned table of positions has rows for; None without one."""
        scheme = SCHEMES[self.embedded_positions()]
        return self.max_positions if scheme.has_table else None
