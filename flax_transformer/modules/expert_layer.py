"""A mixture of experts with its parameters."""

from typing import TYPE_CHECKING

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.experts import (
    expert_feed_forward,
    expert_weights,
    load_balancing_loss,
)
from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.modules.feed_forward_network import Affine
from flax_transformer.modules.norms import dropout_factors
from flax_transformer.modules.observe import observe

if TYPE_CHECKING:
    from flax_transformer.modules.layer_options import LayerOptions

LOSSES = "losses"  # the collection of a model's further losses


class Experts(nn.Module):
    """Several feed-forward networks; each token uses a few of them.

    sum over the chosen experts e of weight_e feed_forward_e(x),
    weight = expert_weights(x W_router)

    When the collection "losses" is mutable in `apply`, `balancing_weight` times the
    `functional.load_balancing_loss` of the tokens is stored there under "balancing". The router
    always computes in float32. Observed, see `observe`: router_logits.

    Attributes:
        options: num_experts, experts_per_token, balancing_weight, d_model, d_ff (of each expert),
            activation, feed_forward_bias, feed_forward_dropout_rate and dtype are read.

    Parameters:
        router/kernel [d_model, num_experts]; hidden/kernel [num_experts, d_model, d_ff],
        hidden/bias [num_experts, d_ff], output/kernel [num_experts, d_ff, d_model] and output/bias
        [num_experts, d_model]; a gated activation has two hidden halves, the gate first:
        hidden/kernel [num_experts, d_model, 2, d_ff], hidden/bias [num_experts, 2, d_ff].

    Reference:
        Fedus et al. 2022, "Switch Transformers"; Jiang et al. 2024, "Mixtral of Experts".
    """

    options: "LayerOptions"

    def setup(self) -> None:
        """Creates the parameters of the router and of all networks."""
        options, number = self.options, self.options.num_experts
        halves = (2,) if ACTIVATIONS[options.activation].is_gated else ()
        self.router = nn.Dense(number, use_bias=False, dtype=jnp.float32, param_dtype=jnp.float32)
        others = (options.feed_forward_bias, options.dtype, 1)
        self.hidden = Affine((number, options.d_model, *halves, options.d_ff), *others)
        self.output = Affine((number, options.d_ff, options.d_model), *others)

    def __call__(
        self,
        inputs: Float[Array, "*batch d_model"],
        is_token: Bool[Array, "*batch"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "*batch d_model"]:
        """Transforms the last axis of the inputs.

        Args:
            inputs: one vector a position.
            is_token: False at padding, which the load-balancing loss leaves out.
            deterministic: no dropout.
        """
        options, router_logits = self.options, self.router(inputs.astype(jnp.float32))
        router_logits = observe(self, "router_logits", router_logits)
        # At initialization every collection is mutable, but variables must hold only parameters.
        if self.is_mutable_collection(LOSSES) and not self.is_initializing():
            loss = load_balancing_loss(router_logits, is_token, options.experts_per_token)
            self.sow(LOSSES, "balancing", options.balancing_weight * loss)
        shape = (*inputs.shape[:-1], options.num_experts, options.d_ff)
        dropout = dropout_factors(self, options.feed_forward_dropout_rate, shape, deterministic)
        return expert_feed_forward(
            inputs.astype(options.dtype),
            expert_weights(router_logits, options.experts_per_token),
            *self.hidden(),
            *self.output(),
            activation=options.activation,
            dropout=dropout,
        )
