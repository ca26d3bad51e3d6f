import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from agreement import (
    BATCH,
    CAUSAL,
    D_FF,
    D_MODEL,
    HEADS,
    IS_MEMORY,
    IS_TOKEN,
    LENGTH,
    MEMORY_LENGTH,
    assert_agreement,
    decode,
    draw,
    encode,
    torch,
)
from reference import assert_close
from torch import nn
from torch_weights import (
    decoder_layer,
    draw_weights,
    encoder_layer,
    torch_attention,
)

from flax_transformer.modules import LayerOptions, MultiHeadAttention

MEMORY_WIDTH = 17
EPSILON = 1e-3  # Large enough to be missed in float32.
# PyTorch's masks say what must not be attended to.
NOT_TOKEN, NOT_MEMORY, NOT_CAUSAL = (torch.tensor(~x) for x in (IS_TOKEN, IS_MEMORY, CAUSAL))


def make_attention(**options):
    module = draw_weights(nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True, **options))
    bias = module.in_proj_bias is not None
    ours = MultiHeadAttention(LayerOptions(num_heads=HEADS, d_model=D_MODEL, attention_bias=bias))
    return module, ours.bind({"params": torch_attention(module)})


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("padding", "attn_mask"), [(None, None), (NOT_TOKEN, None), (None, NOT_CAUSAL)]
)
def test_self_attention(bias, padding, attn_mask):
    module, ours = make_attention(bias=bias)
    mask = np.ones((BATCH, LENGTH, LENGTH), bool)
    if padding is not None:
        mask &= IS_TOKEN[:, None]
    if attn_mask is not None:
        mask &= CAUSAL
    assert_agreement(
        lambda x: ours(x, ours.keys_values(x), mask=jnp.asarray(mask)),
        lambda x: module(x, x, x, key_padding_mask=padding, attn_mask=attn_mask)[0],
        [draw(BATCH, LENGTH, D_MODEL)],
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("width", [D_MODEL, MEMORY_WIDTH])
def test_cross_attention(bias, width):
    module, ours = make_attention(bias=bias, kdim=width, vdim=width)
    mask = jnp.asarray(IS_MEMORY)[:, None]
    assert_agreement(
        lambda x, memory: ours(x, ours.keys_values(memory), mask=mask),
        lambda x, memory: module(x, memory, memory, key_padding_mask=NOT_MEMORY)[0],
        [draw(BATCH, LENGTH, D_MODEL), draw(BATCH, MEMORY_LENGTH, width, seed=2)],
    )


def test_attention_weights():
    module, ours = make_attention()
    x, variables = draw(BATCH, LENGTH, D_MODEL), ours.variables
    tensor = torch.tensor(x)
    expected = module(tensor, tensor, tensor, attn_mask=NOT_CAUSAL, average_attn_weights=False)[1]

    def attend(module, x):
        return module(x, module.keys_values(x), mask=jnp.asarray(CAUSAL)[None])

    _, stored = ours.clone().apply(variables, jnp.asarray(x), method=attend, mutable="activations")
    assert_close(stored["activations"]["weights"], expected.detach().numpy(), 1e-5)


def make_layer(kind, norm_placement, activation):
    options = {"activation": activation, "norm_first": norm_placement == "pre"}
    sizes = (D_MODEL, HEADS, D_FF)
    return draw_weights(kind(*sizes, **options, layer_norm_eps=EPSILON, batch_first=True))


LAYERS = list(itertools.product(["post", "pre"], ["relu", "gelu"]))


@pytest.mark.parametrize(("norm_placement", "activation"), LAYERS)
def test_encoder_layer(norm_placement, activation):
    module = make_layer(nn.TransformerEncoderLayer, norm_placement, activation)
    params = encoder_layer(
        torch_attention(module.self_attn),
        module.norm1,
        hidden=module.linear1,
        output=module.linear2,
        feed_forward_norm=module.norm2,
    )
    assert_agreement(
        encode(
            params,
            IS_TOKEN[:, None],
            activation=activation,
            norm_placement=norm_placement,
            norm_epsilon=EPSILON,
        ),
        lambda x: module(x, src_key_padding_mask=NOT_TOKEN),
        [draw(BATCH, LENGTH, D_MODEL)],
        IS_TOKEN,
    )


@pytest.mark.parametrize(("norm_placement", "activation"), LAYERS)
def test_decoder_layer(norm_placement, activation):
    module = make_layer(nn.TransformerDecoderLayer, norm_placement, activation)
    params = decoder_layer(
        torch_attention(module.self_attn),
        module.norm1,
        torch_attention(module.multihead_attn),
        module.norm2,
        hidden=module.linear1,
        output=module.linear2,
        feed_forward_norm=module.norm3,
    )
    assert_agreement(
        decode(
            params,
            CAUSAL,
            IS_MEMORY[:, None],
            activation=activation,
            norm_placement=norm_placement,
            norm_epsilon=EPSILON,
        ),
        lambda x, memory: module(
            x,
            memory,
            tgt_mask=NOT_CAUSAL,
            memory_key_padding_mask=NOT_MEMORY,
        ),
        [draw(BATCH, LENGTH, D_MODEL), draw(BATCH, MEMORY_LENGTH, D_MODEL, seed=2)],
    )
