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
from torch_weights import attention, decoder_layer, draw_weights, encoder_layer

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
marian = pytest.importorskip("transformers.models.marian.modeling_marian", reason=REASON)
bert = pytest.importorskip("transformers.models.bert.modeling_bert", reason=REASON)
vit = pytest.importorskip("transformers.models.vit.modeling_vit", reason=REASON)

EPSILON = 1e-3  # Large enough to be missed in float32.
# Attention as it is written out, without a fused kernel.
EAGER = {"attn_implementation": "eager"}
INPUTS, MEMORY = draw(BATCH, LENGTH, D_MODEL), draw(BATCH, MEMORY_LENGTH, D_MODEL, seed=2)
SIZES = {
    "hidden_size": D_MODEL,
    "num_attention_heads": HEADS,
    "intermediate_size": D_FF,
    "layer_norm_eps": EPSILON,
}


def as_scores(mask):
    """Their masks [batch, 1, query_length, key_length] are added to the scores."""
    return torch.tensor(np.where(mask, 0, -1e30)[:, None].astype(np.float32))


def marian_config(activation):
    sizes = {"encoder_attention_heads": HEADS, "encoder_ffn_dim": D_FF, "d_model": D_MODEL}
    decoder = {"decoder_attention_heads": HEADS, "decoder_ffn_dim": D_FF}
    return marian.MarianConfig(activation_function=activation, **sizes, **decoder, **EAGER)


def marian_attention(module):
    projections = (module.q_proj, module.k_proj, module.v_proj, module.out_proj)
    return attention(*projections, num_heads=HEADS)


def marian_feed_forward(module):
    return {
        "hidden": module.fc1,
        "output": module.fc2,
        "feed_forward_norm": module.final_layer_norm,
    }


@pytest.mark.parametrize(("theirs", "ours"), [("relu", "relu"), ("swish", "silu")])
def test_marian_encoder_layer(theirs, ours):
    module = draw_weights(marian.MarianEncoderLayer(marian_config(theirs)))
    params = encoder_layer(
        marian_attention(module.self_attn),
        module.self_attn_layer_norm,
        **marian_feed_forward(module),
    )
    mask = IS_TOKEN[:, None]
    assert_agreement(
        encode(params, mask, activation=ours, norm_epsilon=1e-5),
        lambda x: module(x, as_scores(mask)),
        [INPUTS],
        IS_TOKEN,
    )


def test_marian_decoder_layer():
    module = draw_weights(marian.MarianDecoderLayer(marian_config("gelu"), layer_idx=0))
    params = decoder_layer(
        marian_attention(module.self_attn),
        module.self_attn_layer_norm,
        marian_attention(module.encoder_attn),
        module.encoder_attn_layer_norm,
        **marian_feed_forward(module),
    )
    memory_mask = IS_MEMORY[:, None]
    assert_agreement(
        decode(params, CAUSAL, memory_mask, activation="gelu", norm_epsilon=1e-5),
        lambda x, memory: module(x, as_scores(CAUSAL[None]), memory, as_scores(memory_mask)),
        [INPUTS, MEMORY],
    )


def test_bert_layer():
    module = draw_weights(bert.BertLayer(bert.BertConfig(**SIZES, **EAGER)))
    heads, merged = module.attention.self, module.attention.output
    params = encoder_layer(
        attention(heads.query, heads.key, heads.value, merged.dense, HEADS),
        merged.LayerNorm,
        hidden=module.intermediate.dense,
        output=module.output.dense,
        feed_forward_norm=module.output.LayerNorm,
    )
    mask = IS_TOKEN[:, None]
    assert_agreement(
        encode(params, mask, activation="gelu", norm_epsilon=EPSILON),
        lambda x: module(x, as_scores(mask)),
        [INPUTS],
        IS_TOKEN,
    )


def test_vit_layer():
    module = draw_weights(vit.ViTLayer(vit.ViTConfig(**SIZES, **EAGER)))
    heads = module.attention
    params = encoder_layer(
        attention(heads.q_proj, heads.k_proj, heads.v_proj, heads.o_proj, HEADS),
        module.layernorm_before,
        hidden=module.mlp.fc1,
        output=module.mlp.fc2,
        feed_forward_norm=module.layernorm_after,
    )
    everywhere = np.ones((BATCH, LENGTH, LENGTH), bool)
    assert_agreement(
        encode(params, everywhere, activation="gelu", norm_placement="pre", norm_epsilon=EPSILON),
        lambda x: module(x),
        [INPUTS],
    )
