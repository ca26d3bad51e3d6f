"""Mixtures of experts against Hugging Face's Mixtral."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import BATCH, D_FF, D_MODEL, IS_TOKEN, LENGTH, assert_agreement, draw, torch
from reference import assert_close
from torch_weights import array, draw_weights

from flax_transformer.functional import load_balancing_loss
from flax_transformer.modules import Experts, LayerOptions

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
mixtral = pytest.importorskip("transformers.models.mixtral.modeling_mixtral", reason=REASON)

EXPERTS = 5
INPUTS = draw(BATCH, LENGTH, D_MODEL)
each_number = pytest.mark.parametrize("experts_per_token", [1, 2, 3])


def block_and_params(experts_per_token):
    """Their block, whose two halves of a hidden layer are one after the other in one matrix."""
    config = mixtral.MixtralConfig(
        hidden_size=D_MODEL,
        intermediate_size=D_FF,
        num_local_experts=EXPERTS,
        num_experts_per_tok=experts_per_token,
        experts_implementation="eager",
    )
    block = draw_weights(mixtral.MixtralSparseMoeBlock(config))
    hidden = array(block.experts.gate_up_proj).reshape(EXPERTS, 2, D_FF, D_MODEL)
    params = {
        "router": {"kernel": array(block.gate.weight).T},
        "hidden": {"kernel": jnp.moveaxis(hidden, -1, 1)},
        "output": {"kernel": array(block.experts.down_proj).swapaxes(1, 2)},
    }
    return block, params


def experts(experts_per_token):
    options = LayerOptions(
        d_model=D_MODEL,
        d_ff=D_FF,
        num_heads=1,
        feed_forward="experts",
        feed_forward_bias=False,
        num_experts=EXPERTS,
        experts_per_token=experts_per_token,
        balancing_weight=1.0,
        activation="swiglu",
    )
    return Experts(options)


@each_number
def test_outputs_and_gradients(experts_per_token):
    block, params = block_and_params(experts_per_token)
    module = experts(experts_per_token)
    assert_agreement(lambda x: module.apply({"params": params}, x), block, [INPUTS])


@each_number
@pytest.mark.parametrize("is_token", [None, IS_TOKEN])
def test_load_balancing_loss(experts_per_token, is_token):
    block, params = block_and_params(experts_per_token)
    logits = block.gate(torch.tensor(INPUTS))[0]
    mask = None if is_token is None else torch.tensor(is_token)
    expected = mixtral.load_balancing_loss_func((logits,), EXPERTS, experts_per_token, mask)
    given = None if is_token is None else jnp.asarray(is_token)
    module = experts(experts_per_token)
    applied: Any = module.apply({"params": params}, jnp.asarray(INPUTS), given, mutable=["losses"])
    assert_close(applied[1]["losses"]["balancing"][0], expected.detach().numpy(), 1e-5)


def test_gradient_of_the_load_balancing_loss():
    logits = torch.tensor(draw(BATCH * LENGTH, EXPERTS), requires_grad=True)
    mask = torch.tensor(IS_TOKEN)
    mixtral.load_balancing_loss_func((logits,), EXPERTS, 2, mask).backward()
    assert logits.grad is not None
    given = jnp.asarray(logits.detach().numpy()).reshape(BATCH, LENGTH, EXPERTS)
    actual = jax.grad(load_balancing_loss)(given, jnp.asarray(IS_TOKEN), 2)
    assert_close(np.asarray(actual).reshape(-1, EXPERTS), logits.grad.numpy(), 1e-5)
