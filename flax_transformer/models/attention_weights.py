"""The attention weights of every layer of a model, in one call."""

from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from flax_transformer.errors import UserError
from flax_transformer.models.decoder_only import DecoderOnly
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.models.encoder_only import EncoderOnly
from flax_transformer.models.model_config import LayerConfig
from flax_transformer.models.stacking import stack_layers
from flax_transformer.models.video import VideoTransformer
from flax_transformer.models.vision import VisionTransformer

AnyModel = EncoderDecoder | DecoderOnly | EncoderOnly | VisionTransformer | VideoTransformer

# Where modules store weights, layers stacked, and the part's name.
_PARTS = {
    "encoder/attention": "encoder",
    "decoder/self_attention": "decoder",
    "decoder/cross_attention": "cross",
    "image_encoder/encoder/attention": "encoder",
    "video_encoder/encoder/attention": "encoder",
    "time_encoder/encoder/attention": "time",
}
# The same where a video's places of each time, or times of each place, are sequences of their own.
_PARTS_OF_SEVERAL_SEQUENCES = {
    "space_encoder/encoder/attention": "space",
    "space_time_encoder/encoder/space_attention": "space",
    "space_time_encoder/encoder/time_attention": "time",
}


def attention_weights(
    model: AnyModel,
    variables: Mapping[str, Any],
    *inputs: Shaped[Array, "batch ..."],
    dropout_rng: PRNGKeyArray | None = None,
    **options: Any,
) -> dict[str, Float[Array, "layers batch *sequences heads query_length key_length"]]:
    """Computes where every position attends to while a model reads its inputs.

    Weights are those of the softmax: rows sum to 1, but for padding's, which may be all zeros.
    By model, with n the length of what it reads:

        EncoderDecoder     "encoder" [source, source], "decoder" [target, target],
                           "cross" [target, source]
        DecoderOnly        "decoder" [n, n]
        EncoderOnly        "encoder" [n, n]
        VisionTransformer  "encoder" [n, n], a class token before the patches if there is one
        VideoTransformer, by variant (S places of each time, T times; n = T S, time by time)
          joint                     "encoder" [n, n], a class token first if there is one
          factorised_encoder        "space" [S, S] of each time, a class token first if there is
                                    one: [layers, batch, T, heads, S, S]; "time" [T, T], likewise
          factorised_self_attention "space" as above, "time" [T, T] of each place:
                                    [layers, batch, S, heads, T, T]
          factorised_dot_product    the same, each with one half of the heads

    Args:
        model: with or without `scan_layers`.
        variables: of the model.
        *inputs: what the model is called with: source and target, tokens, images or videos; id 0
            is padding.
        dropout_rng: random key of the dropout, for a pass as in training; None: deterministic.
            The weights are those before their own dropout, of inputs that dropout has changed.
        **options: the model's other arguments, such as segments of packed rows.

    Returns:
        One array a part: one example `i` of all is {part: weights[:, i] for part, weights in ...},
        which `visualization.view_attention` takes for models of text; for images and videos see
        `image_attention` and `video_attention`.

    Raises:
        UserError: if the model's attention is cuDNN's, which never holds the weights.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax_transformer.models import EncoderDecoderConfig
        >>> config = EncoderDecoderConfig(
        ...     d_model=6, d_ff=5, num_heads=3, num_encoder_layers=1, num_decoder_layers=2
        ... )
        >>> model = EncoderDecoder(config, vocab_size=7)
        >>> source, target = jnp.array([[3, 4, 5, 6, 2]]), jnp.array([[1, 6, 5, 4]])
        >>> variables = model.init(jax.random.key(0), source, target)
        >>> attention_weights(model, variables, source, target)["cross"].shape
        (2, 1, 3, 4, 5)

    Reference:
        Vaswani et al. 2017, section 3.2.3 (the three uses of attention); Arnab et al. 2021,
        section 3.3 (those of videos).
    """
    check_holds_weights(model.config)
    _, stored = model.apply(
        variables,
        *inputs,
        **options,
        deterministic=dropout_rng is None,
        rngs=None if dropout_rng is None else {"dropout": dropout_rng},
        # In training, batch normalisation writes its statistics, which are not kept here.
        mutable=["attention", *(name for name in variables if name != "params")],
    )
    weights = {"attention": stored["attention"]}
    if not model.config.scan_layers:
        weights = stack_layers(weights)
    found: dict[str, Array] = {}
    by_path: dict[str, Any] = flatten_dict(weights["attention"], sep="/")
    for path, sown in by_path.items():
        module = path.removesuffix("/weights")
        # Flax keeps a tuple of all that one call stored; each attention is called once.
        (of_layers,) = sown
        if module in _PARTS:
            found[_PARTS[module]] = of_layers
        else:
            layers, batch = len(of_layers), len(inputs[0])
            by_example = of_layers.reshape(layers, batch, -1, *of_layers.shape[2:])
            found[_PARTS_OF_SEVERAL_SEQUENCES[module]] = by_example
    return found


def check_holds_weights(config: LayerConfig) -> None:
    """Refuses a model of which nobody can see where it looks.

    Raises:
        UserError: if its attention never holds the weights.
    """
    if config.attention_implementation in ("blockwise", "cudnn"):
        raise UserError(
            f"model.attention_implementation {config.attention_implementation} never holds the "
            "weights to show them: choose auto, for which the same variables serve"
        )
