"""The Video Vision Transformer: a video as a sequence of tubelets, in four variants."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from flax_transformer.functional.layout import lay_out_unpadded
from flax_transformer.functional.patches import split_tubelets
from flax_transformer.models.layer_stack import (
    finish,
    lay_out_windows,
    make_last_norm,
    make_layers,
    make_position_table,
    pass_through,
)
from flax_transformer.models.vision import PooledEncoder, VisionConfig
from flax_transformer.modules.norms import Dropout
from flax_transformer.modules.observe import observe
from flax_transformer.modules.space_time import SpaceTimeLayer
from flax_transformer.modules.token_embedding import SMALL_DEVIATION, PositionalEmbedding

Variant = Literal[
    "joint", "factorized_encoder", "factorized_self_attention", "factorized_dot_product"
]


@dataclasses.dataclass(frozen=True)
class VideoConfig(VisionConfig):
    """Sizes and options of a video Transformer; the defaults are ViViT-B/16x2."""

    reads: ClassVar[str] = "videos"

    variant: Variant = "joint"
    """Attention between all tubelets (joint), within each time and then between times
    (factorized_encoder), over space then over time in each layer (factorized_self_attention), or
    over space with half of the heads and over time with the others (factorized_dot_product)."""
    activation: str = "gelu_tanh"
    """Function in the feed-forward networks, such as gelu_tanh (ViViT), relu or swiglu."""
    num_frames: int = 32
    """Number of frames of a video."""
    tubelet_frames: int = 2
    """Number of frames of a tubelet; its height and width are a patch's."""
    num_time_layers: int = 4
    """factorized_encoder: number of layers between times, after num_layers within each time."""

    def contradictions(self) -> Iterator[tuple[bool, str]]:
        """Adds sizes and options that are impossible for videos or variants."""
        yield from super().contradictions()
        yield (
            self.num_frames % self.tubelet_frames != 0,
            f"--model.num-frames {self.num_frames} is not a multiple of --model.tubelet-frames "
            f"{self.tubelet_frames}: change one",
        )
        yield (
            self.positions == "sinusoidal_2d",
            "--model.positions sinusoidal_2d cannot distinguish times: choose learned or "
            "sinusoidal",
        )
        factorized = self.variant in ("factorized_self_attention", "factorized_dot_product")
        yield (
            factorized and self.pooling != "mean",
            f"--model.variant {self.variant} does not support --model.pooling {self.pooling}: "
            "choose mean",
        )
        heads = (self.num_heads, self.num_key_value_heads or self.num_heads)
        yield (
            self.variant == "factorized_dot_product" and any(n % 2 for n in heads),
            f"--model.variant {self.variant} halves the heads, but --model.num-heads and "
            f"--model.num-key-value-heads are {heads[0]} and {heads[1]}: choose even numbers",
        )

    def build(self, *, num_classes: int) -> "VideoTransformer":
        """Makes the model for num_classes classes."""
        return VideoTransformer(self, num_classes)

    def num_times(self) -> int:
        """Number of tubelets along the time axis."""
        return self.num_frames // self.tubelet_frames


class VideoTransformer(nn.Module):
    """Maps a video to the logits of its classes.

    Attributes:
        config: sizes and options, including the variant.
        num_classes: number of classes.

    Reference:
        Arnab et al. 2021, "ViViT: A Video Vision Transformer", sections 3.2 and 3.3.
    """

    config: VideoConfig
    num_classes: int

    def setup(self) -> None:
        """Creates the tubelets' embedding, the variant's encoders and the classifier."""
        config = self.config
        rows, columns = config.grid()
        num_places, num_times = rows * columns, config.num_times()
        self.tubelet_embedding = nn.Dense(config.d_model, dtype=config.dtype)
        if config.variant == "joint":
            num_tokens = num_times * num_places
            self.video_encoder = PooledEncoder(config, config.num_layers, num_tokens)
        elif config.variant == "factorized_encoder":
            self.space_encoder = PooledEncoder(config, config.num_layers, num_places)
            self.time_encoder = PooledEncoder(config, config.num_time_layers, num_times)
        else:
            self.space_time_encoder = SpaceTimeEncoder(config)
        self.classifier = nn.Dense(self.num_classes, dtype=config.dtype)

    def __call__(
        self,
        videos: Float[Array, "batch frames height width channels"],
        *,
        deterministic: bool = True,
    ) -> Float[Array, "batch classes"]:
        """Computes the logits of the classes of videos.

        Args:
            videos: videos with the config's number of frames and size.
            deterministic: disables dropout.

        Returns:
            Logits of the classes.

        Raises:
            ValueError: if the videos have another number of frames or another size.
        """
        config = self.config
        if videos.shape[1:4] != (config.num_frames, *config.image_size):
            raise ValueError(
                f"videos {videos.shape} are not of {config.num_frames} frames of the size "
                f"{config.image_size}"
            )
        size = (config.tubelet_frames, *config.patch_size)
        tubelets = jax.vmap(lambda video: split_tubelets(video, size))(videos)
        pooled = self._pool(self.tubelet_embedding(tubelets), deterministic)
        return observe(self, "logits", self.classifier(pooled))

    def _pool(self, x: Array, deterministic: bool) -> Array:
        """Computes one vector from the tokens of each video."""
        if self.config.variant == "joint":
            return self.video_encoder(x, deterministic=deterministic)
        if self.config.variant != "factorized_encoder":
            return self.space_time_encoder(x, deterministic=deterministic)
        batch, _, d_model = x.shape
        num_times = self.config.num_times()
        by_time = x.reshape(batch, num_times, -1, d_model)
        places = by_time.reshape(batch * num_times, *by_time.shape[2:])
        times = self.space_encoder(places, deterministic=deterministic)
        return self.time_encoder(
            times.reshape(batch, num_times, d_model), deterministic=deterministic
        )


class SpaceTimeEncoder(nn.Module):
    """Positions, layers with factorized attention, and the mean of their outputs.

    Attributes:
        config: sizes and options.

    Reference:
        Arnab et al. 2021, section 3.3, models 3 and 4.
    """

    config: VideoConfig

    def setup(self) -> None:
        """Creates positions and layers."""
        config = self.config
        rows, columns = config.grid()
        num_tokens = config.num_times() * rows * columns
        self.positions = PositionalEmbedding(
            config.embedded_positions(), num_tokens, SMALL_DEVIATION
        )
        self.dropout = Dropout(config.residual_dropout_rate)
        divides_heads = config.variant == "factorized_dot_product"
        layer = functools.partial(SpaceTimeLayer, divides_heads=divides_heads)
        self.encoder = make_layers(layer, config, config.num_layers)
        self.encoder_positions = make_position_table(config)
        self.encoder_norm = make_last_norm(config)

    def __call__(
        self, tokens: Float[Array, "batch length d_model"], *, deterministic: bool = True
    ) -> Float[Array, "batch d_model"]:
        """Computes the mean over tubelets of `represent`, which has the same arguments."""
        return self.represent(tokens, deterministic=deterministic).mean(axis=1)

    def represent(
        self, tokens: Float[Array, "batch length d_model"], *, deterministic: bool = True
    ) -> Float[Array, "batch length d_model"]:
        """Encodes each tubelet in the context of its time and place.

        Args:
            tokens: one vector for each tubelet, all places of the first time before those of the
                second.
            deterministic: disables dropout.
        """
        config = self.config
        batch, _, d_model = tokens.shape
        num_times = config.num_times()
        whole = lay_out_unpadded(tokens)
        assert whole.positions is not None
        x = self.positions(tokens, whole.positions.query, whole.lengths)
        x = observe(self, "embedded", self.dropout(x, deterministic))
        by_time = tokens.reshape(batch, num_times, -1, d_model)
        places = by_time.reshape(-1, *by_time.shape[2:])
        space = lay_out_windows(config, functools.partial(lay_out_unpadded, places))
        times = by_time.swapaxes(1, 2).reshape(-1, num_times, d_model)
        time = lay_out_windows(config, functools.partial(lay_out_unpadded, times))
        table = self.encoder_positions and self.encoder_positions()

        def step(layer: SpaceTimeLayer, x: Array, _: None) -> tuple[Array, Any]:
            window = layer.options.attention_window
            outputs = layer(
                x,
                space[window],
                time[window],
                num_times=num_times,
                position_table=table,
                deterministic=deterministic,
            )
            return outputs, None

        x, _ = pass_through(self.encoder, step, x, [None] * config.num_layers, remat=config.remat)
        return finish(self.encoder_norm, x, whole, deterministic)
