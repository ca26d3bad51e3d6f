"""What Transformers of images and videos can be told about themselves."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

from flax_transformer.errors import UserError
from flax_transformer.models.model_config import ModelConfig
from flax_transformer.modules.layer_options import NormPlacement

if TYPE_CHECKING:
    import flax.linen as nn

Pooling = Literal["class_token", "mean"]


@dataclasses.dataclass(frozen=True)
class VisionConfig(ModelConfig):
    """Sizes and choices of a Vision Transformer; the defaults are ViT-B/16."""

    reads: ClassVar[str] = "images"
    gives: ClassVar[str] = "classes"

    d_model: int = 768
    """Width of embeddings and between layers."""
    d_ff: int = 3072
    """Width of the feed-forward networks' hidden layers."""
    num_heads: int = 12
    """Attention heads in each layer."""
    attention_bias: bool = True
    """Biases in the projections of attention."""
    norm_placement: NormPlacement = "pre"
    """Normalization after each residual connection (post), or before each sublayer (pre, ViT)."""
    activation: str = "gelu"
    """Function in the feed-forward networks."""
    positions: str | tuple[str, ...] = "learned"
    """Positional scheme: learned for one size of images, sinusoidal_2d by row and column, or any
    other, for which patches count row by row."""
    residual_dropout_rate: float = 0.0
    """Dropout of the embeddings and of each sublayer's output."""
    num_layers: int = 12
    """Layers."""
    image_size: tuple[int, int] = (224, 224)
    """Height and width of images, in pixels."""
    patch_size: tuple[int, int] = (16, 16)
    """Height and width of a patch, in pixels."""
    num_channels: int = 3
    """Channels of images: 3 of colours, 1 of grey levels."""
    pooling: Pooling = "class_token"
    """What represents a whole image: a token of its own, or the mean of all patches."""

    def __post_init__(self) -> None:
        """Refuses values that no model can have."""
        super().__post_init__()
        for name, size in (("image_size", self.image_size), ("patch_size", self.patch_size)):
            if min(size) < 1:
                raise UserError(f"model.{name} must be at least 1 each way, not {size}")
        if any(n % k for n, k in zip(self.image_size, self.patch_size, strict=True)):
            raise UserError(
                f"model.image_size {self.image_size} is not a multiple of model.patch_size "
                f"{self.patch_size}: change one"
            )

    def build(self, *, num_classes: int) -> "nn.Module":
        """Makes the model for so many classes."""
        from flax_transformer.models.vision import VisionTransformer

        return VisionTransformer(self, num_classes)

    def grid(self) -> tuple[int, int]:
        """Rows and columns of an image's patches."""
        height, width = self.image_size
        return height // self.patch_size[0], width // self.patch_size[1]
