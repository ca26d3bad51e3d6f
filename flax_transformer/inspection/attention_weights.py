"""The attention weights of a model, as the viewer shows them."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flax_transformer.inspection.activations import Inputs, activations

# The attention of a layer without the layer's number, and its name in the result.
_PARTS = {
    "encoder.attention": "encoder",
    "decoder.self_attention": "decoder",
    "decoder.cross_attention": "cross",
    "image_encoder.encoder.attention": "encoder",
    "video_encoder.encoder.attention": "encoder",
    "time_encoder.encoder.attention": "time",
    "space_encoder.encoder.attention": "space",
    "space_time_encoder.encoder.space_attention": "space",
    "space_time_encoder.encoder.time_attention": "time",
}


def attention_weights(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    *,
    dropout_rng: PRNGKeyArray | None = None,
) -> dict[str, Float[Array, "layers batch *sequences heads query_length key_length"]]:
    """Computes the attention weights of a model for given inputs.

    The weights are the softmax outputs. Rows sum to 1, except rows of padding, which may be all
    zeros. By model, where n is the length of the model's input:

        EncoderDecoder     "encoder" [source, source], "decoder" [target, target],
                           "cross" [target, source]
        DecoderOnly        "decoder" [n, n]
        EncoderOnly        "encoder" [n, n]
        VisionTransformer  "encoder" [n, n], a class token before the patches if there is one
        VideoTransformer, by variant (S places of each time, T times; n = T S, time by time)
          joint                     "encoder" [n, n], a class token first if there is one
          factorized_encoder        "space" [S, S] of each time, a class token first if there is
                                    one: [layers, batch, T, heads, S, S]; "time" [T, T], likewise
          factorized_self_attention "space" as above, "time" [T, T] of each place:
                                    [layers, batch, S, heads, T, T]
          factorized_dot_product    the same, each with one half of the heads

    Args:
        model: a model of this package, with or without `scan_layers`.
        variables: variables of the model.
        inputs: arguments of the model: source and target, tokens, images or videos; by name also
            segments, which mark padding. See `flax_transformer.inspection`.
        dropout_rng: random key of the dropout, for a pass as in training; None: deterministic. The
            weights are those before their own dropout, computed from inputs with dropout.

    Returns:
        One array for each name. For one example `i`, {name: weights[:, i] for name, weights in ...}
        is an argument of `visualization.view_attention` for text models. For images and videos see
        `image_attention` and `video_attention`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax_transformer.models import EncoderDecoderConfig
        >>> config = EncoderDecoderConfig(
        ...     d_model=6, d_ff=5, num_heads=3, num_encoder_layers=1, num_decoder_layers=2
        ... )
        >>> model = config.build(vocab_size=7)
        >>> source, target = jnp.array([[3, 4, 5, 6, 2]]), jnp.array([[1, 6, 5, 4]])
        >>> variables = model.init(jax.random.key(0), source, target)
        >>> attention_weights(model, variables, (source, target))["cross"].shape
        (2, 1, 3, 4, 5)

    Reference:
        Vaswani et al. 2017, section 3.2.3 (the three uses of attention); Arnab et al. 2021,
        section 3.3 (those of videos).
    """
    observed = activations(model, variables, inputs, "*.weights", dropout_rng=dropout_rng)
    return by_part(observed, batch=jax.tree.leaves(inputs)[0].shape[0])


def by_part(observed: Mapping[str, Array], *, batch: Any) -> dict[str, Array]:
    """Joins the weights of all layers of each part.

    Args:
        observed: activations by name; those that are not weights of attention are left out.
        batch: number of examples.

    Returns:
        See `attention_weights`.

    Example:
        >>> layer = jnp.zeros((2, 3, 5, 5))
        >>> {part: x.shape for part, x in by_part({"encoder.0.attention.weights": layer}, batch=2)
        ...     .items()}
        {'encoder': (1, 2, 3, 5, 5)}
    """
    layers: dict[str, dict[int, Array]] = {}
    for name, value in observed.items():
        if match := re.fullmatch(r"(.*?)\.(\d+)(\..*)\.weights", name):
            stack, number, module = match.groups()
            layers.setdefault(stack + module, {})[int(number)] = value
    found: dict[str, Array] = {}
    for module, by_number in layers.items():
        of_layers = jnp.stack([by_number[number] for number in sorted(by_number)])
        # The places of each time, or the times of each place, are separate sequences.
        if module.startswith("space_"):
            of_layers = of_layers.reshape(len(of_layers), batch, -1, *of_layers.shape[2:])
        found[_PARTS[module]] = of_layers
    return found


# One program for all variables of a model and all inputs of one shape; models must be hashable.
compiled_attention_weights = jax.jit(attention_weights, static_argnames="model")
