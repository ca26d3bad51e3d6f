"""Layers of published models as settings of `LayerOptions`: against Hugging Face."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agreement, draw, torch
from torch_weights import Params, array, attention, draw_weights, linear, norm

from flax_transformer.functional import Layout, Positions
from flax_transformer.modules import DecoderLayer, EncoderLayer, LayerOptions

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
transformers: Any = pytest.importorskip("transformers", reason=REASON)
llama: Any = pytest.importorskip("transformers.models.llama.modeling_llama", reason=REASON)
gemma: Any = pytest.importorskip("transformers.models.gemma2.modeling_gemma2", reason=REASON)
t5: Any = pytest.importorskip("transformers.models.t5.modeling_t5", reason=REASON)
bart: Any = pytest.importorskip("transformers.models.bart.modeling_bart", reason=REASON)
bert: Any = pytest.importorskip("transformers.models.bert.modeling_bert", reason=REASON)

# Longer than T5's 128 tokens, from which on all distances are one.
BATCH, LENGTH, MEMORY_LENGTH = 2, 139, 7
HEADS, GROUPS, HEAD_DIM, D_MODEL, D_FF = 4, 2, 6, 20, 13
EPSILON = 1e-3  # Large enough to be missed in float32.
SIZES: dict[str, Any] = {
    "d_model": D_MODEL,
    "d_ff": D_FF,
    "num_heads": HEADS,
    "norm_epsilon": EPSILON,
    "positions": "none",
    "residual_dropout_rate": 0.0,
}
EAGER = {"attn_implementation": "eager"}
INPUTS = draw(BATCH, LENGTH, D_MODEL)
MEMORY = draw(BATCH, MEMORY_LENGTH, D_MODEL, seed=2)
IS_TOKEN = np.ones((BATCH, LENGTH), bool)
IS_TOKEN[0, -5:] = False
IS_MEMORY = np.ones((BATCH, MEMORY_LENGTH), bool)
IS_MEMORY[1, -3:] = False
CAUSAL = np.broadcast_to(np.tri(LENGTH, dtype=bool), (BATCH, LENGTH, LENGTH))
BIDIRECTIONAL = np.broadcast_to(IS_TOKEN[:, None], (BATCH, LENGTH, LENGTH))
MEMORY_MASK = IS_MEMORY[:, None]


def options(**changes: Any) -> LayerOptions:
    return LayerOptions(**SIZES | changes)


def as_scores(mask: np.ndarray) -> Any:
    """Their masks [batch, 1, query_length, key_length] are added to the scores."""
    return torch.tensor(np.where(mask, 0, -1e30)[:, None].astype(np.float32))


def layout(mask: np.ndarray) -> Layout:
    positions = jnp.broadcast_to(jnp.arange(LENGTH), (BATCH, LENGTH))
    return Layout(jnp.asarray(mask), Positions(positions, positions))


def encode(options: LayerOptions, params: Params, table: Any = None) -> Callable[..., Any]:
    """An encoder layer as a function of its inputs."""
    module = EncoderLayer(options)
    return lambda x: module.apply(
        {"params": params}, x, layout(BIDIRECTIONAL), position_table=table
    )


def decode(options: LayerOptions, params: Params, table: Any = None) -> Callable[..., Any]:
    """A decoder layer as a function of its inputs and, if there is one, of the memory."""

    def outputs(x, memory=None):
        layer = DecoderLayer(options).bind({"params": params})
        keys_values = None if memory is None else layer.memory_keys_values(memory)
        mask = jnp.asarray(MEMORY_MASK)
        return layer(x, layout(CAUSAL), keys_values, mask, position_table=table)[0]

    return outputs


def rms(layer: Any, added: float = 0.0) -> Params:
    """The scale of a norm without a bias; Gemma stores it less 1."""
    return {"scale": array(layer.weight) + added}


def gated(gate: Any, up: Any, down: Any) -> Params:
    hidden = jnp.stack([linear(gate)["kernel"], linear(up)["kernel"]], axis=1)
    return {"hidden": {"kernel": hidden}, "output": linear(down)}


def rotary_options() -> dict[str, Any]:
    return {
        "num_key_value_heads": GROUPS,
        "key_dim": HEAD_DIM,
        "value_dim": HEAD_DIM,
        "positions": "rotary",
        "rotary_layout": "halves",
        "norm": "rms",
        "feed_forward_bias": False,
    }


def rotary_sizes(base: float) -> dict[str, Any]:
    return {
        "hidden_size": D_MODEL,
        "intermediate_size": D_FF,
        "num_attention_heads": HEADS,
        "num_key_value_heads": GROUPS,
        "head_dim": HEAD_DIM,
        "rms_norm_eps": EPSILON,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
        **EAGER,
    }


def grouped_attention(module: Any) -> Params:
    projections = (module.q_proj, module.k_proj, module.v_proj, module.o_proj)
    return attention(*projections, num_heads=HEADS, num_key_value_heads=GROUPS)


def their_angles(rotary: Any) -> Any:
    """Sines and cosines of their positions."""
    return rotary(torch.tensor(INPUTS), torch.arange(LENGTH)[None])


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_llama_decoder_layer(base):
    config = transformers.LlamaConfig(**rotary_sizes(base))
    module = draw_weights(llama.LlamaDecoderLayer(config, layer_idx=0))
    params = {
        "self_attention": grouped_attention(module.self_attn),
        "self_attention_residual": {"normalize": rms(module.input_layernorm)},
        "feed_forward": gated(module.mlp.gate_proj, module.mlp.up_proj, module.mlp.down_proj),
        "feed_forward_residual": {"normalize": rms(module.post_attention_layernorm)},
    }
    angles = their_angles(llama.LlamaRotaryEmbedding(config))
    settings = {"norm_placement": "pre", "activation": "swiglu", "rotary_base": base}
    assert_agreement(
        decode(options(**rotary_options(), **settings), params),
        lambda x: module(x, as_scores(CAUSAL), position_embeddings=angles),
        [INPUTS],
    )


def test_gemma_2_decoder_layer():
    """Norms before and after each sublayer, bounded scores, and a scale of its own."""
    cap, scalar = 3.0, 17
    config = transformers.Gemma2Config(
        attn_logit_softcapping=cap, query_pre_attn_scalar=scalar, **rotary_sizes(10_000.0)
    )
    module = draw_weights(gemma.Gemma2DecoderLayer(config, layer_idx=1))

    def both(before, after):
        return {"normalize": rms(before, 1), "normalize_output": rms(after, 1)}

    params = {
        "self_attention": grouped_attention(module.self_attn),
        "self_attention_residual": both(module.input_layernorm, module.post_attention_layernorm),
        "feed_forward": gated(module.mlp.gate_proj, module.mlp.up_proj, module.mlp.down_proj),
        "feed_forward_residual": both(
            module.pre_feedforward_layernorm, module.post_feedforward_layernorm
        ),
    }
    angles = their_angles(gemma.Gemma2RotaryEmbedding(config))
    settings = {
        "norm_placement": "both",
        "activation": "geglu_tanh",
        "attention_soft_cap": cap,
        "attention_scale": scalar**-0.5,
    }
    assert_agreement(
        decode(options(**rotary_options(), **settings), params),
        lambda x: module(x, position_embeddings=angles, attention_mask=as_scores(CAUSAL)),
        [INPUTS],
    )


T5_OPTIONS: dict[str, Any] = {
    "key_dim": HEAD_DIM,
    "value_dim": HEAD_DIM,
    "attention_scale": 1.0,
    "positions": "t5",
    "share_position_table": True,
    "norm": "rms",
    "norm_placement": "pre",
    "activation": "geglu_tanh",
    "feed_forward_bias": False,
}


def t5_stack(is_decoder: bool) -> tuple[list[Any], list[Params], Any]:
    """Two blocks, of which only the first has a table: the blocks, their parameters, the table."""
    config = transformers.T5Config(
        d_model=D_MODEL,
        d_ff=D_FF,
        d_kv=HEAD_DIM,
        num_heads=HEADS,
        layer_norm_epsilon=EPSILON,
        feed_forward_proj="gated-gelu",
        is_decoder=is_decoder,
        **EAGER,
    )
    blocks = [draw_weights(t5.T5Block(config, i == 0, layer_idx=i)) for i in range(2)]
    with torch.no_grad():  # Unscaled scores must not be so large that one key takes all weight.
        for block in blocks:
            for layer in block.layer[:-1]:
                part = (
                    layer.EncDecAttention
                    if hasattr(layer, "EncDecAttention")
                    else layer.SelfAttention
                )
                part.q.weight *= 0.3
    table = array(blocks[0].layer[0].SelfAttention.relative_attention_bias.weight).T
    return blocks, [t5_params(block, is_decoder) for block in blocks], table


def t5_params(block: Any, is_decoder: bool) -> Params:
    def heads(module):
        return attention(module.q, module.k, module.v, module.o, num_heads=HEADS)

    first, last = block.layer[0], block.layer[-1]
    name = "self_attention" if is_decoder else "attention"
    params = {
        name: heads(first.SelfAttention),
        f"{name}_residual": {"normalize": rms(first.layer_norm)},
        "feed_forward": gated(
            last.DenseReluDense.wi_0, last.DenseReluDense.wi_1, last.DenseReluDense.wo
        ),
        "feed_forward_residual": {"normalize": rms(last.layer_norm)},
    }
    if is_decoder:
        cross = block.layer[1]
        params["cross_attention"] = heads(cross.EncDecAttention)
        params["cross_attention_residual"] = {"normalize": rms(cross.layer_norm)}
    return params


def test_t5_encoder_layers():
    blocks, params, table = t5_stack(is_decoder=False)
    first, second = (encode(options(**T5_OPTIONS), layer, table) for layer in params)

    def theirs(x):
        x, bias, _ = blocks[0](x, as_scores(BIDIRECTIONAL))
        return blocks[1](x, as_scores(BIDIRECTIONAL), position_bias=bias)[0]

    assert_agreement(lambda x: second(first(x)), theirs, [INPUTS], IS_TOKEN)


def test_t5_decoder_layers():
    blocks, params, table = t5_stack(is_decoder=True)
    first, second = (decode(options(**T5_OPTIONS), layer, table) for layer in params)

    def theirs(x, memory):
        bias = None
        for block in blocks:
            x, bias, _ = block(
                x,
                as_scores(CAUSAL),
                position_bias=bias,
                encoder_hidden_states=memory,
                encoder_attention_mask=as_scores(MEMORY_MASK),
            )
        return x

    ours = lambda x, memory: second(first(x, memory), memory)  # noqa: E731
    assert_agreement(ours, theirs, [INPUTS, MEMORY])


BART_OPTIONS: dict[str, Any] = {
    "attention_bias": True,
    "activation": "gelu",
    "norm_epsilon": 1e-5,  # That of PyTorch, which BART cannot change.
}


def bart_config() -> Any:
    return transformers.BartConfig(
        d_model=D_MODEL,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=D_FF,
        decoder_ffn_dim=D_FF,
        **EAGER,
    )


def bart_attention(module: Any) -> Params:
    projections = (module.q_proj, module.k_proj, module.v_proj, module.out_proj)
    return attention(*projections, num_heads=HEADS)


def bart_params(module: Any, name: str) -> Params:
    return {
        name: bart_attention(module.self_attn),
        f"{name}_residual": {"normalize": norm(module.self_attn_layer_norm)},
        "feed_forward": {"hidden": linear(module.fc1), "output": linear(module.fc2)},
        "feed_forward_residual": {"normalize": norm(module.final_layer_norm)},
    }


def test_bart_encoder_layer():
    module = draw_weights(bart.BartEncoderLayer(bart_config()))
    assert_agreement(
        encode(options(**BART_OPTIONS), bart_params(module, "attention")),
        lambda x: module(x, as_scores(BIDIRECTIONAL)),
        [INPUTS],
        IS_TOKEN,
    )


def test_bart_decoder_layer():
    module = draw_weights(bart.BartDecoderLayer(bart_config(), layer_idx=0))
    params = bart_params(module, "self_attention") | {
        "cross_attention": bart_attention(module.encoder_attn),
        "cross_attention_residual": {"normalize": norm(module.encoder_attn_layer_norm)},
    }
    assert_agreement(
        decode(options(**BART_OPTIONS), params),
        lambda x, memory: module(x, as_scores(CAUSAL), memory, as_scores(MEMORY_MASK)),
        [INPUTS, MEMORY],
    )
