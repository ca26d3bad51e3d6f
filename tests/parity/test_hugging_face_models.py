"""Whole models, weight for weight: embeddings, positions, heads, and what stands between layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import draw, torch
from published_presets import BY_DEFAULT, PRESETS
from reference import assert_close
from torch_weights import (
    Affine,
    Params,
    array,
    attention,
    decoder_only_layer,
    draw_weights,
    encoder_layer,
    linear,
    norm,
    pieces,
)

from flax_transformer.functional import resize_position_table
from flax_transformer.models import (
    ZOO,
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderOnly,
    EncoderOnlyConfig,
    VideoConfig,
    VideoTransformer,
    VisionConfig,
    VisionTransformer,
)
from flax_transformer.models.zoo import count

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
transformers: Any = pytest.importorskip("transformers", reason=REASON)

LAYERS, HEADS, D_MODEL, D_FF, VOCAB, CLASSES, LENGTH = 2, 3, 33, 13, 17, 5, 7
EPSILON = 1e-3  # Large enough to be missed in float32.
SIZES: dict[str, Any] = {
    "hidden_size": D_MODEL,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": D_FF,
    "layer_norm_eps": EPSILON,
    "attn_implementation": "eager",
}
OURS: dict[str, Any] = {
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "d_model": D_MODEL,
    "d_ff": D_FF,
    "norm_epsilon": EPSILON,
}
TOLERANCE = 1e-5
RNG = np.random.default_rng(0)
# Padding on the right in one row, and none in the other.
TOKENS = RNG.integers(1, VOCAB, (2, LENGTH))
TOKENS[0, 4:] = 0
IS_TOKEN = TOKENS != 0
SEGMENTS = jnp.asarray(IS_TOKEN, jnp.int32)
SENTENCES = np.array([[0, 0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1]])


def numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy()


def apply(model: Any, params: Params, *inputs: Any, **options: Any) -> Any:
    call = jax.jit(lambda params, *inputs: model.apply({"params": params}, *inputs, **options))
    return call(params, *map(jnp.asarray, inputs))


def gpt2_layer(block: Any) -> Params:
    """Its projections are one, and its weights lie as our kernels do."""
    parts = block.attn.c_attn
    query, key, value = map(Affine, parts.weight.T.chunk(3), parts.bias.chunk(3))
    affine = lambda part: Affine(part.weight.T, part.bias)  # noqa: E731
    return decoder_only_layer(
        attention(query, key, value, affine(block.attn.c_proj), HEADS),
        block.ln_1,
        hidden=affine(block.mlp.c_fc),
        output=affine(block.mlp.c_proj),
        feed_forward_norm=block.ln_2,
    )


def test_gpt2():
    config = transformers.GPT2Config(
        vocab_size=VOCAB,
        n_positions=11,
        n_embd=D_MODEL,
        n_inner=D_FF,
        n_layer=LAYERS,
        n_head=HEADS,
        layer_norm_epsilon=EPSILON,
        attn_implementation="eager",
    )
    theirs = draw_weights(transformers.GPT2LMHeadModel(config))
    body = theirs.transformer
    params = {
        "embedding": {"table": array(body.wte.weight)},
        "positions": {"table": array(body.wpe.weight)},
        "decoder_norm": norm(body.ln_f),
        **{f"decoder_{i}": gpt2_layer(block) for i, block in enumerate(body.h)},
    }
    model = DecoderOnly(DecoderOnlyConfig(max_positions=11, **OURS), VOCAB)
    expected = theirs(torch.tensor(TOKENS), attention_mask=torch.tensor(IS_TOKEN)).logits
    actual = apply(model, params, TOKENS, segments=SEGMENTS)
    assert_close(actual[IS_TOKEN], numpy(expected)[IS_TOKEN], TOLERANCE)


def bert_layer(module: Any) -> Params:
    heads, merged = module.attention.self, module.attention.output
    return encoder_layer(
        attention(heads.query, heads.key, heads.value, merged.dense, HEADS),
        merged.LayerNorm,
        hidden=module.intermediate.dense,
        output=module.output.dense,
        feed_forward_norm=module.output.LayerNorm,
    )


def bert_body(body: Any) -> Params:
    embeddings = body.embeddings
    return {
        "embedding": {"table": array(embeddings.word_embeddings.weight)},
        "positions": {"table": array(embeddings.position_embeddings.weight)},
        "sentence_embedding": {"table": array(embeddings.token_type_embeddings.weight)},
        "embedding_norm": norm(embeddings.LayerNorm),
        **{f"encoder_{i}": bert_layer(layer) for i, layer in enumerate(body.encoder.layer)},
    }


@pytest.mark.parametrize("head", ["tokens", "classes"])
def test_bert(head):
    config = transformers.BertConfig(
        vocab_size=VOCAB, max_position_embeddings=11, num_labels=CLASSES, **SIZES
    )
    model = EncoderOnly(EncoderOnlyConfig(max_positions=11, **OURS), VOCAB, CLASSES)
    if head == "tokens":
        theirs = draw_weights(transformers.BertForMaskedLM(config))
        predictions = theirs.cls.predictions
        params = bert_body(theirs.bert) | {
            "token_transform": linear(predictions.transform.dense),
            "token_norm": norm(predictions.transform.LayerNorm),
            "token_bias": {"bias": array(predictions.bias)},
        }
        counted, method = IS_TOKEN, "predict_tokens"
    else:
        theirs = draw_weights(transformers.BertForSequenceClassification(config))
        params = bert_body(theirs.bert) | {
            "pooler": linear(theirs.bert.pooler.dense),
            "classifier": linear(theirs.classifier),
        }
        counted, method = np.ones(2, bool), "classify"
    expected = theirs(
        torch.tensor(TOKENS),
        attention_mask=torch.tensor(IS_TOKEN),
        token_type_ids=torch.tensor(SENTENCES),
    ).logits
    actual = jax.jit(
        lambda params, tokens, sentences: model.apply(
            {"params": params}, tokens, sentences=sentences, segments=SEGMENTS, method=method
        )
    )(params, TOKENS, SENTENCES)
    assert_close(actual[counted], numpy(expected)[counted], TOLERANCE)


def visual_layer(module: Any) -> Params:
    heads = module.attention
    return encoder_layer(
        attention(heads.q_proj, heads.k_proj, heads.v_proj, heads.o_proj, HEADS),
        module.layernorm_before,
        hidden=module.mlp.fc1,
        output=module.mlp.fc2,
        feed_forward_norm=module.layernorm_after,
    )


def visual_encoder(body: Any) -> Params:
    return {
        "class_token": array(body.embeddings.cls_token)[0, 0],
        "positions": {"table": array(body.embeddings.position_embeddings)[0]},
        "encoder_norm": norm(body.layernorm),
        **{f"encoder_{i}": visual_layer(layer) for i, layer in enumerate(body.layers)},
    }


def test_vit():
    config = transformers.ViTConfig(
        image_size=(6, 10), patch_size=(3, 5), num_labels=CLASSES, **SIZES
    )
    theirs = draw_weights(transformers.ViTForImageClassification(config))
    params = {
        "patch_embedding": pieces(theirs.vit.embeddings.patch_embeddings.projection),
        "image_encoder": visual_encoder(theirs.vit),
        "classifier": linear(theirs.classifier),
    }
    ours = VisionConfig(image_size=(6, 10), patch_size=(3, 5), **OURS)
    images = draw(2, 6, 10, 3)
    expected = theirs(torch.tensor(images).permute(0, 3, 1, 2)).logits
    actual = apply(VisionTransformer(ours, CLASSES), params, images)
    assert_close(actual, numpy(expected), TOLERANCE)


def test_vivit():
    config = transformers.VivitConfig(
        image_size=(6, 10), num_frames=4, tubelet_size=(2, 3, 5), num_labels=CLASSES, **SIZES
    )
    theirs = draw_weights(transformers.VivitForVideoClassification(config))
    params = {
        "tubelet_embedding": pieces(theirs.vivit.embeddings.patch_embeddings.projection),
        "video_encoder": visual_encoder(theirs.vivit),
        "classifier": linear(theirs.classifier),
    }
    ours = VideoConfig(image_size=(6, 10), patch_size=(3, 5), num_frames=4, **OURS)
    videos = draw(2, 4, 6, 10, 3)
    expected = theirs(torch.tensor(videos).permute(0, 1, 4, 2, 3)).logits
    actual = apply(VideoTransformer(ours, CLASSES), params, videos)
    assert_close(actual, numpy(expected), TOLERANCE)


def test_published_sizes_have_as_many_parameters_as_theirs():
    small = {"hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6}
    vit = transformers.ViTForImageClassification
    with torch.device("meta"):
        theirs = {
            "gpt2-small": transformers.GPT2LMHeadModel(transformers.GPT2Config()),
            "bert-base": transformers.BertModel(transformers.BertConfig()),
            "ViT-B/16": vit(transformers.ViTConfig(num_labels=1000)),
            "ViT-S/16": vit(transformers.ViTConfig(num_labels=1000, **small)),
            "ViViT-B/16x2": transformers.VivitForVideoClassification(
                transformers.VivitConfig(num_labels=400)
            ),
        }
    for name, module in theirs.items():
        entry = ZOO[name]
        expected = sum(weight.numel() for weight in module.parameters())
        assert count(entry.model, *entry.inputs, method=entry.method) == expected, name


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_parameters_and_the_defaults_of_theirs(name):
    preset = PRESETS[name]
    kind = getattr(transformers, preset.architecture)
    with torch.device("meta"):
        model = kind(kind.config_class(**preset.settings))
    # Not the tables of fixed positions, but the bias of logits, which is not trained there.
    theirs = [weight for weight in model.parameters() if weight.requires_grad]
    theirs += [bias for key, bias in model.named_buffers() if key == "final_logits_bias"]
    if name == "flan-t5-small" and model.config.tie_word_embeddings:
        # The class ties the logits in any case; the published matrix is another one.
        theirs.append(model.lm_head.weight)
    assert sum(weight.numel() for weight in theirs) == ZOO[name].parameters
    if name in BY_DEFAULT:
        default = kind.config_class().to_dict()
        assert {key: default[key] for key in preset.settings} == preset.settings


@pytest.mark.parametrize("new_grid", [(7, 11), (3, 5)])
def test_a_larger_table_is_that_of_pytorch(new_grid):
    """Bilinear; its cubic weights are others, and a smaller table it does not smooth."""
    table = draw(3 * 5 + 1, 7)
    grid = torch.tensor(table[1:].reshape(1, 3, 5, 7)).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, size=new_grid, mode="bilinear")
    expected = np.concatenate([table[:1], numpy(resized.permute(0, 2, 3, 1)).reshape(-1, 7)])
    actual = resize_position_table(jnp.asarray(table), (3, 5), new_grid, "bilinear")
    assert_close(actual, expected, TOLERANCE)
