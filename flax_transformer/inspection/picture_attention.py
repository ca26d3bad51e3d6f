"""Attention between the patches of an image or a video, for the attention viewer."""

import itertools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from flax_transformer.inspection.attention_weights import compiled_attention_weights
from flax_transformer.models.video import VideoConfig, VideoTransformer
from flax_transformer.models.vision import VisionConfig, VisionTransformer

CLASS_TOKEN = "[class]"
Pixels = Shaped[Array | np.ndarray, "..."]
Whole = Float[np.ndarray, "layers heads tokens tokens"]


def image_attention(
    model: VisionTransformer,
    variables: Mapping[str, Any],
    image: Shaped[Array | np.ndarray, "height width channels"],
    pixels: Pixels | None = None,
) -> dict[str, Any]:
    """Computes the attention between all patches of an image, as arguments of `view_attention`.

    `view_attention(**image_attention(model, variables, image))` draws it over the image.

    Args:
        model: with or without a class token.
        variables: variables of the model.
        image: input of the model.
        pixels: pixels to show, integers up to 255 or fractions up to 1, with one channel or three:
            the part of the original that the model reads, of any size; by default the image itself,
            which is hard to recognize after standardization.

    Returns:
        "weights" [layers, heads, tokens, tokens]; "tokens", the names of all tokens: "[class]"
        first if the model has a class token, then "row 0, column 0" and so on, row by row; "image",
        the pixels in three channels; "patches", the numbers of (rows, columns).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax_transformer.models import VisionConfig
        >>> config = VisionConfig(
        ...     num_layers=2, d_model=6, d_ff=5, num_heads=3, image_size=(4, 6), patch_size=(2, 2)
        ... )
        >>> model, image = VisionTransformer(config, num_classes=10), jnp.zeros((4, 6, 1))
        >>> variables = model.init(jax.random.key(0), image[None])
        >>> arguments = image_attention(model, variables, image)
        >>> arguments["weights"].shape, arguments["patches"], arguments["tokens"][:2]
        ((2, 3, 7, 7), (2, 3), ['[class]', 'row 0, column 0'])

    Reference:
        Dosovitskiy et al. 2021, section 4.5 and figure 7 (attention over the image).
    """
    weights = compiled_attention_weights(model, variables, jnp.asarray(image)[None])["encoder"]
    sides = zip(image.shape[:2], model.config.patch_size, strict=True)
    patches = tuple(size // patch for size, patch in sides)
    class_tokens = [CLASS_TOKEN] if model.config.pooling == "class_token" else []
    return {
        "weights": np.asarray(weights[:, 0], np.float32),
        "tokens": class_tokens + _names(("row", "column"), patches),
        "image": _three_channels(image if pixels is None else pixels),
        "patches": patches,
    }


def video_attention(
    model: VideoTransformer,
    variables: Mapping[str, Any],
    video: Shaped[Array | np.ndarray, "frames height width channels"],
    pixels: Pixels | None = None,
) -> dict[str, Any]:
    """Computes the attention between all tubelets of a video, as arguments of `view_attention`.

    `view_attention(**video_attention(model, variables, video))` draws it over the video.

    Separate attention over space and over time is expanded to all tubelets of the video. A
    tubelet's weights over space are nonzero at the tubelets of the same time, its weights over time
    at those of the same place. By variant:

        joint                     layers and heads unchanged
        factorized_self_attention layer 2 l is layer l's attention over space, 2 l + 1 that over
                                  time; in this order each has its own residual connection
        factorized_dot_product    the first half of the heads is over space, the other over time
        factorized_encoder        the layers over space, then those over time, between the times'
                                  class tokens; with mean pooling a time is all of its places, so
                                  each place gets an equal share of its time's weight

    Rollout over these layers therefore follows every path through the model. The title describes
    the layers or heads.

    Args:
        model: model of any variant.
        variables: variables of the model.
        video: input of the model.
        pixels: pixels to show; see `image_attention`.

    Returns:
        "weights" [layers, heads, tokens, tokens]; "tokens", the names of all tokens: first
        "[class]" if the model has a class token, and in the factorized encoder "[class] of time 0"
        and so on, then "time 0, row 0, column 0" and so on, time by time; "video", the pixels in
        three channels; "patches", the numbers of (times, rows, columns); "title".

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax_transformer.models import VideoConfig
        >>> config = VideoConfig(
        ...     variant="factorized_self_attention", pooling="mean", num_layers=2, d_model=6,
        ...     d_ff=5, num_heads=3, image_size=(4, 6), patch_size=(2, 2), num_frames=10,
        ... )
        >>> model, video = VideoTransformer(config, num_classes=10), jnp.zeros((10, 4, 6, 1))
        >>> variables = model.init(jax.random.key(0), video[None])
        >>> arguments = video_attention(model, variables, video)
        >>> arguments["weights"].shape, arguments["patches"]
        ((4, 3, 30, 30), (5, 2, 3))

    Reference:
        Arnab et al. 2021, section 3.3 (the variants); Abnar and Zuidema 2020 (rollout).
    """
    config = model.config
    patches = (config.num_times(), *config.grid())
    found = compiled_attention_weights(model, variables, jnp.asarray(video)[None])
    parts = {name: np.asarray(array[:, 0], np.float32) for name, array in found.items()}
    class_tokens = [CLASS_TOKEN] if config.pooling == "class_token" else []
    if class_tokens and config.variant == "factorized_encoder":
        class_tokens += [f"{CLASS_TOKEN} of time {time}" for time in range(patches[0])]
    return {
        "weights": _lay_out(config, parts),
        "tokens": class_tokens + _names(("time", "row", "column"), patches),
        "video": _three_channels(video if pixels is None else pixels),
        "patches": patches,
        "title": _title(config),
    }


def patch_names(config: VisionConfig | VideoConfig) -> dict[str, list[str]]:
    """Names the positions of each stack of layers of a model of images or videos.

    Args:
        config: of the model.

    Returns:
        Stack, as in the names of activations -> names of its positions: "[class]" first if the
        model has a class token, then patches, as in `image_attention` and `video_attention`. A
        factorized encoder of videos has a stack over the places of a time, and one over times.

    Example:
        >>> config = VisionConfig(image_size=(4, 6), patch_size=(4, 3))
        >>> patch_names(config)
        {'image_encoder.encoder': ['[class]', 'row 0, column 0', 'row 0, column 1']}
    """
    if isinstance(config, VideoConfig):
        axes = ("time", "row", "column")
        patches = (config.num_times(), *config.grid())
        stacks = {
            "joint": {"video_encoder.encoder": _names(axes, patches)},
            "factorized_encoder": {
                "space_encoder.encoder": _names(axes[1:], patches[1:]),
                "time_encoder.encoder": _names(axes[:1], patches[:1]),
            },
        }.get(config.variant, {"space_time_encoder.encoder": _names(axes, patches)})
    else:
        stacks = {"image_encoder.encoder": _names(("row", "column"), config.grid())}
    class_tokens = [CLASS_TOKEN] if config.pooling == "class_token" else []
    return {stack: class_tokens + names for stack, names in stacks.items()}


def _names(axes: tuple[str, ...], patches: tuple[int, ...]) -> list[str]:
    """Names patches by their place on the grid, the last axis running fastest."""
    return [
        ", ".join(f"{axis} {index}" for axis, index in zip(axes, place, strict=True))
        for place in itertools.product(*map(range, patches))
    ]


def _three_channels(pixels: Pixels) -> np.ndarray:
    """Converts grayscale to RGB."""
    array = np.asarray(pixels)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array


def _title(config: VideoConfig) -> str:
    last, heads = config.num_layers - 1, config.num_heads
    return {
        "joint": "Attention over space and time",
        "factorized_self_attention": "Attention: even layers over space, odd layers over time",
        "factorized_dot_product": f"Attention: heads 0 to {heads // 2 - 1} over space, "
        f"{heads // 2} to {heads - 1} over time",
        "factorized_encoder": f"Attention: layers 0 to {last} over space, then over time",
    }[config.variant]


def _lay_out(config: VideoConfig, parts: Mapping[str, np.ndarray]) -> Whole:
    """Expands attention over space and over time to attention between all tokens of the video."""
    if config.variant == "joint":
        return parts["encoder"]
    rows, columns = config.grid()
    tubelets = np.arange(config.num_times() * rows * columns).reshape(config.num_times(), -1)
    if config.variant == "factorized_encoder":
        return _of_encoders(config, parts, tubelets)
    space = _scatter(parts["space"], tubelets, tubelets.size)
    time = _scatter(parts["time"], tubelets.T, tubelets.size)
    if config.variant == "factorized_dot_product":
        return np.concatenate([space, time], axis=1)
    in_turns = np.stack([space, time], axis=1)
    return in_turns.reshape(-1, *space.shape[1:])


def _of_encoders(
    config: VideoConfig,
    parts: Mapping[str, np.ndarray],
    tubelets: Int[np.ndarray, "times places"],
) -> Whole:
    """The same for the factorized encoder: its layers over space, then its layers over time."""
    times, places = tubelets.shape
    if config.pooling == "mean":
        # A time's vector is the mean of its places, so all its places attend and get equal
        # shares.
        time = parts["time"].repeat(places, axis=-2).repeat(places, axis=-1) / places
        return np.concatenate([_scatter(parts["space"], tubelets, tubelets.size), time])
    # The video's class token, those of the times, and the tubelets.
    num_tokens = 1 + times + tubelets.size
    of_times = np.arange(1, 1 + times)
    of_space = np.concatenate([of_times[:, None], tubelets + 1 + times], axis=1)
    space = _scatter(parts["space"], of_space, num_tokens)
    time = _scatter(parts["time"][:, None], np.arange(1 + times)[None], num_tokens)
    return np.concatenate([space, time])


def _scatter(
    weights: Float[np.ndarray, "layers sequences heads length length"],
    indices: Int[np.ndarray, "sequences length"],
    num_tokens: int,
) -> Whole:
    """Writes the weights of several sequences at their tokens' places among all tokens."""
    layers, _, heads = weights.shape[:3]
    whole = np.zeros((layers, heads, num_tokens, num_tokens), np.float32)
    for sequence, tokens in enumerate(indices):
        whole[:, :, tokens[:, None], tokens] = weights[:, sequence]
    return whole
