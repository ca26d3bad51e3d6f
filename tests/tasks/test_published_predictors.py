"""Predictors read and write texts by a published tokenizer, whose ids stay as they are."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from flax_transformer.data.tokens.published_tokenizer import OfModel, PublishedTokenizer
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.models import DecoderOnlyConfig, EncoderDecoderConfig, EncoderOnlyConfig
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.tasks.masked_language_modeling.mask_filler import MaskFiller
from flax_transformer.tasks.translation.translator import Translator

pytestmark = pytest.mark.usefixtures("quickly_compiled")

WORDS = ["two", "[PAD]", "six", "[CLS]", "ten", "[MASK]", "one", "[SEP]", "[UNK]"]
SPECIAL = SpecialIds(pad=1, cls=3, sep=7, mask=5, unk=8)
NUM_ROWS = 11  # of the table, which published models make larger than the vocabulary
SIZES: dict[str, Any] = {"d_model": 8, "d_ff": 5, "num_heads": 2}
GREEDY = DecodingConfig("greedy", max_extra_length=5)


def published(
    special: SpecialIds, *, is_marked: bool, begin: int | None = None
) -> PublishedTokenizer:
    vocab = {word: number for number, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens([word for word in WORDS if word.startswith("[")])
    if is_marked:
        made.post_processor = processors.BertProcessing(("[SEP]", 7), ("[CLS]", 3))
    return PublishedTokenizer(made, special).of_model(OfModel(NUM_ROWS, begin))


def begin(config: Any, num_sides: int, **options: str) -> tuple[Any, Any]:
    model = config.build(vocab_size=NUM_ROWS)
    sides = [jnp.ones((1, 3), jnp.int32)] * num_sides
    return model, model.init(jax.random.key(0), *sides, **options)


def test_gaps_are_filled_with_words():
    model, variables = begin(
        EncoderOnlyConfig(num_layers=1, **SIZES, max_positions=13), 1, method="predict_tokens"
    )
    tokenizer = published(SPECIAL, is_marked=True)
    filler = MaskFiller(model, variables, tokenizer, None, 13)
    (filled,) = filler.fill(["two [MASK] six [MASK]"], top=20)
    words = {"two", "six", "ten", "one"}
    assert [set(gap) for gap in filled.gaps] == [words, words]
    first, second = (max(gap, key=lambda word: gap[word]) for gap in filled.gaps)
    assert filled.text == f"two {first} six {second}"
    shown = filler.attend("two [MASK]")
    assert shown["tokens"] == ["[CLS]", "two", "[MASK]", "[SEP]"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("日本 is [MASK] 🙂  Two", r"日本 is \w{3} 🙂  Two"),
        ("[MASK], six", r"\w{3}, six"),
        ("日本 [MASK] [MASK][MASK]\0", r"日本 \w{3} \w{3} \w{3}\0"),
        (" [MASK]\n", r" \w{3}\n"),
    ],
)
def test_the_given_text_around_gaps_is_kept(text, expected):
    """Words without a token, and spaces between words, are not in the ids."""
    model, variables = begin(
        EncoderOnlyConfig(num_layers=1, **SIZES, max_positions=13), 1, method="predict_tokens"
    )
    filler = MaskFiller(model, variables, published(SPECIAL, is_marked=True), None, 13)
    (filled,) = filler.fill([text])
    assert re.fullmatch(expected, filled.text)


def test_texts_are_continued_after_their_marks():
    model, variables = begin(DecoderOnlyConfig(num_layers=1, **SIZES, max_positions=13), 1)
    tokenizer = published(SPECIAL, is_marked=False)
    generator = Generator(model, variables, tokenizer, GREEDY, 13)
    ((text, *_),) = generator.generate(["two six"])
    assert set(text.split()) <= set(WORDS)
    marked = published(SPECIAL, is_marked=True)
    assert marked.encode_prompt("two six") == [3, 0, 2]


def test_sources_have_the_published_marks_and_targets_begin_as_asked():
    config = EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=1, **SIZES)
    model, variables = begin(config, 2)
    tokenizer = published(SPECIAL, is_marked=True, begin=1)
    translator = Translator(model, variables, tokenizer, GREEDY, 13)
    assert len(translator.translate(["two six", "", "ten"])) == 3
    shown = translator.attend("two six", "ten")
    assert shown["tokens"] == ["[CLS]", "two", "six", "[SEP]"]
    assert shown["target_tokens"] == ["[PAD]", "[CLS]", "ten"]
