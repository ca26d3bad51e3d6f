"""The logit lens: what a model would say if its last layers were left out."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from flax_transformer.inspection.activations import (
    Inputs,
    Method,
    activation_shapes,
    activations,
    run_with,
)
from flax_transformer.inspection.layer_names import checked_stack, layer_outputs


def logit_lens(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    *,
    stack: str | None = None,
    method: Method = "__call__",
) -> Shaped[Array, "layers ..."]:
    """Computes the outputs that a model would have if each of its layers were the last one.

    The residual stream after a layer goes directly to the last norm and to the head. So the lens
    works for logits of tokens and of classes, of texts, images and videos.

    Args:
        model: see `activations`.
        variables: of the model.
        inputs: of the model.
        stack: the layers to leave out: "decoder" or "encoder" of a translator; by default those
            from which the outputs are computed.
        method: of the model.

    Returns:
        The outputs after 1, 2, ... layers; the last ones are the model's own. The outputs of an
        encoder's layers are read by the whole decoder.

    Raises:
        UserError: if the model does not have this stack.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> logit_lens(model, variables, tokens).shape  # layers, batch, length, vocab
        (2, 1, 4, 7)

    Reference:
        nostalgebraist 2020, "Interpreting GPT: the Logit Lens"; Belrose et al. 2023, "Eliciting
        Latent Predictions from Transformers with the Tuned Lens", section 2.
    """
    names = activation_shapes(model, variables, inputs, method=method)
    outputs = layer_outputs(names)[checked_stack(stack, names)]
    found = activations(model, variables, inputs, outputs, method=method)

    def as_last(residual: Array) -> Array:
        return run_with(model, variables, inputs, {outputs[-1]: residual}, method=method)

    return jax.vmap(as_last)(jnp.stack([found[name] for name in outputs]))
