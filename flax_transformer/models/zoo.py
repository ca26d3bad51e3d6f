"""Models of named sizes: published models, and the models of the experiments."""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from flax_transformer.models.decoder_only import DecoderOnly, DecoderOnlyConfig
from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.encoder_only import EncoderOnly, EncoderOnlyConfig
from flax_transformer.models.table3 import PAPER_VOCAB_SIZE, depth, table3
from flax_transformer.models.video import VideoConfig, VideoTransformer
from flax_transformer.models.vision import VisionConfig, VisionTransformer


class Published(NamedTuple):
    """A model of a named size.

    Attributes:
        model: the module.
        inputs: shapes and types of the published inputs, for one example.
        outputs: shape of the outputs for these inputs.
        parameters: published count, exact or in tenths of a million as published; None if not
            published, and for the rows of Table 3, which have their own counts.
        source: source of the published count.
        method: method that computes these outputs; its parameters are counted.
    """

    model: nn.Module
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    outputs: tuple[int, ...]
    parameters: int | None
    source: str
    method: str = "__call__"

    @property
    def config(self) -> Any:
        """Sizes and options of the model."""
        return vars(self.model)["config"]


def _text(length: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, length), jnp.int32)


_IMAGE = (jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32),)
_VIDEO = (jax.ShapeDtypeStruct((1, 32, 224, 224, 3), jnp.float32),)


def _translator(
    source: str, config: EncoderDecoderConfig, vocab_size: int = PAPER_VOCAB_SIZE
) -> Published:
    """An encoder-decoder with inputs of 32 source and 32 target tokens."""
    model = EncoderDecoder(config, vocab_size)
    return Published(model, (_text(32), _text(32)), (1, 32, vocab_size), None, source)


def _vivit(parameters: int, **settings: Any) -> Published:
    """ViViT-B/16x2 with the 400 classes of Kinetics; the paper's counts are in tenths of millions.

    The pooling is that of the authors' code, which has class tokens if the variant supports them.
    """
    model = VideoTransformer(VideoConfig(**settings), num_classes=400)
    return Published(model, _VIDEO, (1, 400), parameters, "Arnab et al. 2021, table 2")


def _encoder(parameters: int, source: str, method: str, **settings: Any) -> Published:
    """A smaller BERT with its vocabulary of word pieces."""
    config = EncoderOnlyConfig(**settings)
    outputs = (1, config.d_model) if method == "pool" else (1, 512, config.d_model)
    model = EncoderOnly(config, vocab_size=30_522)
    return Published(model, (_text(512),), outputs, parameters, source, method)


def _decoder(parameters: int, source: str, vocab_size: int, **settings: Any) -> Published:
    """A decoder of Llama's kind; the halves of a head are rotated, as its files hold them."""
    config = DecoderOnlyConfig(
        attention_bias=False,
        feed_forward_bias=False,
        positions="rotary",
        rotary_layout="halves",
        max_positions=8192,
        attention_dropout_rate=0.0,
        **settings,
    )
    model = DecoderOnly(config, vocab_size)
    return Published(model, (_text(32),), (1, 32, vocab_size), parameters, source)


ZOO: dict[str, Published] = {
    "tiny": _translator(
        "Wu et al. 2021, Good for Misconceived Reasons: the best size for Multi30k",
        EncoderDecoderConfig(
            d_model=128, d_ff=256, num_heads=4, residual_dropout_rate=0.3, **depth(4)
        ),
    ),
    "small": _translator(
        "a size between", EncoderDecoderConfig(d_model=256, d_ff=1024, num_heads=8, **depth(3))
    ),
    # Every row of the paper's Table 3, including base and big.
    **{
        name: _translator("Vaswani et al. 2017, Table 3", row.model, row.vocab_size)
        for name, row in table3().items()
    },
    "gpt2-small": Published(
        DecoderOnly(DecoderOnlyConfig(), vocab_size=50_257),
        (_text(1024),),
        (1, 1024, 50_257),
        124_439_808,
        "Hugging Face's GPT2LMHeadModel of gpt2",
    ),
    # With the pooler, but without the heads for masked tokens and classes.
    "bert-base": Published(
        EncoderOnly(EncoderOnlyConfig(), vocab_size=30_522),
        (_text(512),),
        (1, 768),
        109_482_240,
        "Hugging Face's BertModel of bert-base-uncased",
        method="pool",
    ),
    "minilm-l6": _encoder(
        22_713_216,
        "config.json and tensors of sentence-transformers' all-MiniLM-L6-v2",
        "pool",
        num_layers=6,
        d_model=384,
        d_ff=1536,
    ),
    "distilbert-base": _encoder(
        66_362_880,
        "Hugging Face's DistilBertModel of distilbert-base-uncased",
        "__call__",
        num_layers=6,
        num_sentences=None,
        pooler_activation="relu",
    ),
    "smollm2-135m": _decoder(
        134_515_008,
        "metadata and tensors of SmolLM2-135M-Instruct's GGUF file",
        49_152,
        num_layers=30,
        d_model=576,
        d_ff=1536,
        num_heads=9,
        key_dim=64,
        value_dim=64,
        num_key_value_heads=3,
        norm="rms",
        activation="swiglu",
        rotary_base=100_000.0,
    ),
    "gemma-7b": _decoder(
        8_537_680_896,
        "Hugging Face's GemmaForCausalLM of gemma-7b",
        256_000,
        num_layers=28,
        d_model=3072,
        d_ff=24_576,
        num_heads=16,
        key_dim=256,
        value_dim=256,
        num_key_value_heads=16,
        norm="rms_plus_one",
        norm_epsilon=1e-6,
        activation="geglu_tanh",
        embedding_scaling="inputs",
    ),
    "t5-small": _translator(
        "Hugging Face's T5ForConditionalGeneration of t5-small",
        EncoderDecoderConfig(
            key_dim=64,
            value_dim=64,
            attention_scale=1.0,
            norm="rms",
            norm_epsilon=1e-6,
            norm_placement="pre",
            feed_forward_bias=False,
            positions="t5",
            share_position_table=True,
            embedding_scaling="logits",
        ),
        32_128,
    )._replace(parameters=60_506_624),
    "ViT-S/16": Published(
        VisionTransformer(VisionConfig(d_model=384, d_ff=1536, num_heads=6), num_classes=1000),
        _IMAGE,
        (1, 1000),
        22_050_664,
        "DeiT-S, the same architecture",
    ),
    "ViT-B/16": Published(
        VisionTransformer(VisionConfig(), num_classes=1000),
        _IMAGE,
        (1, 1000),
        86_567_656,
        "torchvision's ViT_B_16_Weights.IMAGENET1K_V1",
    ),
    "ViViT-B/16x2": _vivit(88_900_000),
    "ViViT-B/16x2-factorized-encoder": _vivit(115_100_000, variant="factorized_encoder"),
    "ViViT-B/16x2-factorized-self-attention": _vivit(
        117_300_000, variant="factorized_self_attention", pooling="mean"
    ),
    "ViViT-B/16x2-factorized-dot-product": _vivit(
        88_900_000, variant="factorized_dot_product", pooling="mean"
    ),
}


@functools.cache
def count_parameters(config: EncoderDecoderConfig, vocab_size: int) -> int:
    """Counts a model's parameters from their shapes, without allocating them.

    Example:
        >>> count_parameters(ZOO["base"].config, 37_000)
        63045632
    """
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return count(EncoderDecoder(config, vocab_size), tokens, tokens)


def count(model: nn.Module, *inputs: Any, method: str = "__call__") -> int:
    """Counts the parameters of any model from their shapes, without allocating them.

    Args:
        model: the module.
        *inputs: arrays or their shapes.
        method: the method that initializes the model.

    Example:
        >>> count(nn.Dense(3), jnp.zeros((1, 2)))
        9
    """
    init = functools.partial(model.init, method=method)
    # The key is created inside: outside, it would start the devices.
    shapes = jax.eval_shape(lambda *given: init(jax.random.key(0), *given), *inputs)
    return sum(shape.size for shape in jax.tree.leaves(shapes["params"]))
