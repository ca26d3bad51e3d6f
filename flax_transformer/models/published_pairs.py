"""Published sizes of encoder-decoders: T5, BART and its relatives.

The settings are those of the published configs. A count has the parameters that training changes,
and the bias of logits: the tables of fixed positions of Marian and Pegasus are left out.
"""

from typing import Any

from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.models.published_size import Published, text_of
from flax_transformer.models.table3 import depth


def size_of_pair(
    parameters: int | None, source: str, vocab_size: int, config: EncoderDecoderConfig
) -> Published:
    """Makes a named size of an encoder-decoder, with inputs of 32 source and 32 target tokens.

    Args:
        parameters: published count.
        source: source of the sizes and of the count.
        vocab_size: number of tokens of the joint vocabulary.
        config: sizes and options.
    """
    model, texts = EncoderDecoder(config, vocab_size), (text_of(32), text_of(32))
    return Published(model, texts, (1, 32, vocab_size), parameters, source)


def _t5(parameters: int, source: str, **settings: Any) -> Published:
    config = EncoderDecoderConfig(
        key_dim=64,
        value_dim=64,
        attention_scale=1.0,
        norm="rms",
        norm_epsilon=1e-6,
        norm_placement="pre",
        feed_forward_bias=False,
        positions="t5",
        share_position_table=True,
        **settings,
    )
    return size_of_pair(parameters, source, 32_128, config)


def _t5s() -> dict[str, Published]:
    """T5 1.0 and 1.1."""
    return {
        "t5-small": _t5(
            60_506_624,
            "Hugging Face's T5ForConditionalGeneration of t5-small",
            embedding_scaling="logits",
        ),
        # T5 1.1, trained further. keras-hub's t5_1.1_small (60,511,616) lacks the matrix of logits.
        "flan-t5-small": _t5(
            76_961_152,
            "tensors of google's flan-t5-small",
            **depth(8),
            d_ff=1024,
            num_heads=6,
            activation="geglu_tanh",
            embedding_scaling="none",
            tied_logits=False,
        ),
    }


def _bart(parameters: int, source: str, vocab_size: int, **settings: Any) -> Published:
    """BART and its relatives, which have every bias, but for NLLB without that of logits."""
    biases: dict[str, Any] = {"attention_bias": True, "logits_bias": True}
    config = EncoderDecoderConfig(**biases | settings)
    return size_of_pair(parameters, source, vocab_size, config)


def _of_many_languages() -> dict[str, Published]:
    """The smallest mBART of fifty languages, and the smallest NLLB."""
    sizes: dict[str, Any] = {**depth(12), "d_model": 1024, "d_ff": 4096, "num_heads": 16}
    sizes |= {"norm_placement": "pre", "position_offset": 2}
    return {
        # With the bias of logits; without it 610,879,488.
        "mbart-large-50": _bart(
            611_129_542,
            "Hugging Face's MBartForConditionalGeneration of mbart-large-50-many-to-many-mmt",
            250_054,
            positions="learned",
            max_positions=1026,
            embedding_norm=True,
            **sizes,
        ),
        "nllb-200-600m": _bart(
            615_073_792,
            "Hugging Face's M2M100ForConditionalGeneration of nllb-200-distilled-600M",
            256_206,
            attention_dropout_rate=0.1,
            positions="sinusoidal_halves",
            logits_bias=False,
            **sizes,
        ),
    }


def _barts() -> dict[str, Published]:
    """One of each family."""
    return {
        # With the bias of logits. keras-hub's bart_base_en (139,417,344) lacks it and the first two
        # positions of both sides.
        "bart-base": _bart(
            139_470_681,
            "Hugging Face's BartForConditionalGeneration of bart-base",
            50_265,
            d_model=768,
            d_ff=3072,
            num_heads=12,
            activation="gelu",
            attention_dropout_rate=0.1,
            feed_forward_dropout_rate=0.1,
            positions="learned",
            max_positions=1026,
            position_offset=2,
            embedding_norm=True,
            embedding_scaling="none",
        ),
        "opus-mt-en-de": _bart(
            73_944_309,
            "Hugging Face's MarianMTModel of Helsinki-NLP's opus-mt-en-de",
            58_101,
            activation="silu",
            positions="sinusoidal_blocks",
            max_positions=512,
        ),
        # All published models of Pegasus have these layers.
        "pegasus-xsum": _bart(
            568_796_007,
            "Hugging Face's PegasusForConditionalGeneration of google's pegasus-xsum",
            96_103,
            **depth(16),
            d_model=1024,
            d_ff=4096,
            num_heads=16,
            norm_placement="pre",
            attention_dropout_rate=0.1,
            feed_forward_dropout_rate=0.1,
            positions="sinusoidal_blocks",
            max_positions=512,
        ),
    }


def published_pairs() -> dict[str, Published]:
    """Returns the named sizes of encoder-decoders.

    Example:
        >>> published_pairs()["bart-base"].config.d_model
        768
    """
    return _t5s() | _barts() | _of_many_languages()
