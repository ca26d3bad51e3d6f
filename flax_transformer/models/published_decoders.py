"""Published sizes of decoders: GPT-2, and Llama with its relatives.

The settings are those of the published configs.
"""

from typing import Any

from flax_transformer.models.decoder_only import DecoderOnly, DecoderOnlyConfig
from flax_transformer.models.published_size import Published, text_of


def _decoder(
    parameters: int,
    source: str,
    vocab_size: int,
    head_dim: int,
    max_positions: int = 8192,
    **settings: Any,
) -> Published:
    """A decoder of Llama's kind; the halves of a head are rotated, as its files hold them."""
    defaults = {
        "attention_bias": False,
        "norm": "rms",
        "activation": "swiglu",
        "positions": "rotary",
    }
    config = DecoderOnlyConfig(
        feed_forward_bias=False,
        rotary_layout="halves",
        max_positions=max_positions,
        attention_dropout_rate=0.0,
        key_dim=head_dim,
        value_dim=head_dim,
        **defaults | settings,
    )
    model = DecoderOnly(config, vocab_size)
    return Published(model, (text_of(32),), (1, 32, vocab_size), parameters, source)


def _gemma(parameters: int, source: str, **sizes: Any) -> Published:
    return _decoder(
        parameters,
        source,
        256_000,
        256,
        norm="rms_plus_one",
        norm_epsilon=1e-6,
        activation="geglu_tanh",
        embedding_scaling="inputs",
        **sizes,
    )


def _gemmas() -> dict[str, Published]:
    """Gemma and the smallest Gemma 2."""
    return {
        "gemma-2-2b": _gemma(
            2_614_341_888,
            "Hugging Face's Gemma2ForCausalLM with its default config",
            num_layers=26,
            d_model=2304,
            d_ff=9216,
            num_heads=8,
            num_key_value_heads=4,
            norm_placement="both",
            attention_scale=1 / 16,
            attention_window=(4096, None),
            attention_soft_cap=50.0,
            logits_soft_cap=30.0,
        ),
        "gemma-2b": _gemma(
            2_506_172_416,
            "keras-hub's gemma_2b_en",
            num_layers=18,
            d_model=2048,
            d_ff=16_384,
            num_heads=8,
            num_key_value_heads=1,
        ),
        "gemma-7b": _gemma(
            8_537_680_896,
            "Hugging Face's GemmaForCausalLM of gemma-7b",
            num_layers=28,
            d_model=3072,
            d_ff=24_576,
            num_heads=16,
            num_key_value_heads=16,
        ),
    }


def _mistral(parameters: int, source: str, **settings: Any) -> Published:
    """Mistral and Mixtral, which have the same attention and widths."""
    return _decoder(
        parameters,
        source,
        32_000,
        128,
        32_768,
        num_layers=32,
        d_model=4096,
        d_ff=14_336,
        num_heads=32,
        num_key_value_heads=8,
        tied_logits=False,
        **settings,
    )


def _mistrals() -> dict[str, Published]:
    """Version 0.1 of both."""
    return {
        "mistral-7b": _mistral(7_241_732_096, "keras-hub's mistral_7b_en", attention_window=4096),
        "mixtral-8x7b": _mistral(
            46_702_792_704,
            "keras-hub's mixtral_8_7b_en",
            feed_forward="experts",
            num_experts=8,
            experts_per_token=2,
            balancing_weight=0.02,
            rotary_base=1e6,
        ),
    }


def _qwens() -> dict[str, Published]:
    """The smallest Qwen2 and Qwen3."""
    return {
        # The first Qwen2; of Qwen2.5 only the number of positions differs.
        "qwen2-0.5b": _decoder(
            494_032_768,
            "keras-hub's qwen2.5_0.5b_en, which has the same sizes",
            151_936,
            64,
            131_072,
            num_layers=24,
            d_model=896,
            d_ff=4864,
            num_heads=14,
            num_key_value_heads=2,
            attention_bias=True,
            attention_output_bias=False,
            norm_epsilon=1e-6,
            rotary_base=1e6,
        ),
        "qwen3-0.6b": _decoder(
            596_049_920,
            "keras-hub's qwen3_0.6b_en",
            151_936,
            128,
            40_960,
            num_layers=28,
            d_model=1024,
            d_ff=3072,
            num_heads=16,
            num_key_value_heads=8,
            normalize_query_key=True,
            norm_epsilon=1e-6,
            rotary_base=1e6,
        ),
    }


def published_decoders() -> dict[str, Published]:
    """Returns the named sizes of decoders.

    Example:
        >>> published_decoders()["gemma-2b"].config.num_layers
        18
    """
    return {
        "gpt2-small": Published(
            DecoderOnly(DecoderOnlyConfig(), vocab_size=50_257),
            (text_of(1024),),
            (1, 1024, 50_257),
            124_439_808,
            "Hugging Face's GPT2LMHeadModel of gpt2",
        ),
        "smollm2-135m": _decoder(
            134_515_008,
            "metadata and tensors of SmolLM2-135M-Instruct's GGUF file",
            49_152,
            64,
            num_layers=30,
            d_model=576,
            d_ff=1536,
            num_heads=9,
            num_key_value_heads=3,
            rotary_base=100_000.0,
        ),
        "smollm3-3b": _decoder(
            3_075_098_624,
            "metadata of the tensors of HuggingFaceTB's SmolLM3-3B",
            128_256,
            128,
            65_536,
            num_layers=36,
            d_model=2048,
            d_ff=11_008,
            num_heads=16,
            num_key_value_heads=4,
            norm_epsilon=1e-6,
            positions=("rotary", "rotary", "rotary", "none"),
            rotary_base=5e6,
        ),
        **_gemmas(),
        **_mistrals(),
        **_qwens(),
    }
