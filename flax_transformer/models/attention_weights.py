"""The attention weights of every layer of a model, in one call."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Float, Int

from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.models.stacking import stack_layers


def attention_weights(
    model: EncoderDecoder,
    variables: Mapping[str, Any],
    source: Int[Array, "batch source_length"],
    target: Int[Array, "batch target_length"],
) -> dict[str, Float[Array, "layers batch heads query_length key_length"]]:
    """Computes where every position attends to while a model reads a source and a target.

    Args:
        model: with or without `scan_layers`; the implementation of its attention must be one that
            returns weights.
        variables: of the model.
        source: token ids, 0 for padding.
        target: token ids that the decoder reads, begin mark first, 0 for padding.

    Returns:
        "encoder" (source to source), "decoder" (target to target) and "cross" (target to source).
        One example `i` of them is looked at with `visualization.view_attention`:
        `{part: weights[:, i] for part, weights in attention_weights(...).items()}`.

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
        Vaswani et al. 2017, section 3.2.3 (the three uses of attention).
    """
    stored: Any = model.apply(variables, source, target, mutable=["attention"])[1]
    if not model.config.scan_layers:
        stored = stack_layers(stored)
    encoder, decoder = (stored["attention"][side] for side in ("encoder", "decoder"))
    sown = {
        "encoder": encoder["attention"],
        "decoder": decoder["self_attention"],
        "cross": decoder["cross_attention"],
    }
    # Flax keeps a tuple of all that one call stored; each attention is called once.
    return {part: module["weights"][0] for part, module in sown.items()}
