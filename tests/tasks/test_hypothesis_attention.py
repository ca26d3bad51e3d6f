import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close
from small import PAIRS
from small_tasks import letters

from flax_transformer.data.tokens.tokenizer import BOS, EOS, PAD
from flax_transformer.decoding import DecodingConfig, Hypotheses, SearchLimits, search
from flax_transformer.errors import UserError
from flax_transformer.inspection import attention_weights
from flax_transformer.models import (
    DecoderOnly,
    DecoderOnlyConfig,
    EncoderDecoder,
    EncoderDecoderConfig,
)
from flax_transformer.tasks.text_predictor import text_attention
from flax_transformer.tasks.translation.translator import Translator
from flax_transformer.visualization import view_attention

VOCAB, HEADS, LAYERS, MAX_LENGTH = 23, 3, 2, 13
LENGTHS = np.array([5, 11, 7])
SIZES: dict[str, Any] = {"d_model": 12, "d_ff": 17, "num_heads": HEADS}
SOURCE = jnp.array([[3, 4, 5, 6, 7], [0, 0, 8, 9, 10], [11, 12, 13, 14, 2]])
SEARCHES = {"greedy": DecodingConfig("greedy"), "beam": DecodingConfig("beam", beam_size=5)}


@pytest.fixture(scope="module", params=["encoder_decoder", "decoder_only"])
def case(request) -> tuple[Any, Any, Any, Any]:
    """A model, its variables, what starts a cache, and the prompt."""
    if request.param == "encoder_decoder":
        config = EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=LAYERS, **SIZES)
        model = EncoderDecoder(config, VOCAB)
        return model, draw_parameters(model, SOURCE, SOURCE), SOURCE, jnp.full((3, 1), BOS)
    model = DecoderOnly(DecoderOnlyConfig(num_layers=LAYERS, **SIZES), VOCAB)
    return model, draw_parameters(model, SOURCE), len(SOURCE), SOURCE


def start(case: Any) -> Any:
    model, variables, begin, prompt = case
    capacity = prompt.shape[1] + MAX_LENGTH
    of_source = {} if isinstance(begin, int) else {"segments": (begin != PAD).astype(jnp.int32)}
    return model.apply(variables, begin, capacity, **of_source, method=model.start)


def found_by(case: Any, config: DecodingConfig) -> Hypotheses:
    """Of three lengths: nothing ends before its limit, so that all rows are long."""
    model, variables, _, prompt = case

    def step(tokens: Any, cache: Any) -> Any:
        logits, cache = model.apply(variables, tokens, cache, tokens != PAD, method=model.decode)
        return logits.at[..., jnp.array([PAD, EOS])].set(-1e9), cache

    return search(
        config,
        step,
        start(case),
        prompt,
        SearchLimits(
            max_length=MAX_LENGTH, eos_id=EOS, pad_id=PAD, max_lengths=jnp.asarray(LENGTHS)
        ),
    )


def cached_weights(case: Any, tokens: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of attention as a decoder with a cache computes them, a token at a time."""
    model, variables, _, prompt = case
    cache, rows = start(case), []

    def decode(new: Any, cache: Any) -> Any:
        return model.apply(
            variables, new, cache, new != PAD, method=model.decode, mutable=["activations"]
        )

    step = jax.jit(decode)
    for new in [prompt, *(jnp.asarray(tokens[:, i : i + 1]) for i in range(MAX_LENGTH - 1))]:
        (_, cache), stored = step(new, cache)
        rows.append(stored["activations"])
    return {
        part: np.stack(
            [
                np.concatenate([row[f"decoder_{layer}"][module]["weights"] for row in rows], 2)
                for layer in range(LAYERS)
            ]
        )
        for part, module in (("decoder", "self_attention"), ("cross", "cross_attention"))
        if module in rows[0]["decoder_0"]
    }


@pytest.mark.parametrize("method", SEARCHES)
def test_it_is_what_decoding_through_the_cache_computed(case, method):
    model, variables, _, prompt = case
    found = found_by(case, SEARCHES[method])
    best = np.asarray(found.tokens[:, 0])
    expected = cached_weights(case, best)
    np.testing.assert_array_equal(found.lengths[:, 0], LENGTHS)
    for row, length in enumerate(LENGTHS):
        before, source = np.asarray(prompt[row]), np.asarray(SOURCE[row])
        # Padding stands before the prompt's own tokens.
        padding = int((before == PAD).sum())
        read = [*before[padding:].tolist(), *best[row, : length - 1].tolist()]
        kept = source != PAD
        sides = [source[kept].tolist(), read] if isinstance(model, EncoderDecoder) else [read]
        weights = text_attention(model, variables, letters(VOCAB), *sides)["weights"]
        end = len(before) + length - 1
        by_cache = expected["decoder"][:, row, :, padding:end, padding:end]
        assert_close(weights["decoder"], by_cache, 1e-5)
        if len(sides) == 1:
            assert weights.keys() == {"decoder"}
            continue
        cross = expected["cross"][:, row, :, :length][..., kept]
        assert_close(weights["cross"], cross, 1e-5)
        assert_close(weights["encoder"].sum(axis=-1), np.ones((1, HEADS, kept.sum())), 1e-5)


def test_the_names_are_those_of_the_tokens(case):
    model, variables, _, _ = case
    tokenizer = letters(VOCAB)
    sides = [[5, 6, EOS], [BOS, 7]] if isinstance(model, EncoderDecoder) else [[5, 6, EOS]]
    shown = text_attention(model, variables, tokenizer, *sides)
    assert shown.keys() == {"weights", *("tokens", "target_tokens")[: len(sides)]}
    assert shown["tokens"] == tokenizer.names([5, 6, EOS])


@pytest.fixture(scope="module")
def translator(task, memorized, tokenizer) -> Translator:
    decoding = DecodingConfig("beam", beam_size=3, max_extra_length=16)
    return Translator(task.model, memorized, tokenizer, decoding, max_length=23)


def test_a_text_is_translated_and_its_subwords_are_named(translator):
    text, target, _ = PAIRS[7]
    found = translator.attend(text)
    assert found["title"] == f"{text} → {target}"
    assert target == translator.translate(text)
    assert found["tokens"][-1] == "</s>"
    assert "".join(found["tokens"][:-1]) == text
    assert found["target_tokens"][0] == "<s>"
    assert "".join(found["target_tokens"][1:]) == target
    view_attention(**found)


def test_a_given_target_is_looked_at_as_if_it_had_been_found(translator):
    """The model's own translation gives the same; another one is shown as it is."""
    text, target, _ = PAIRS[7]
    own, given = translator.attend(text), translator.attend(text, target)
    assert (own["title"], own["target_tokens"]) == (given["title"], given["target_tokens"])
    for part, weights in own["weights"].items():
        assert_close(given["weights"][part], weights, 1e-5)
    other = translator.attend(text, "zwei und X")
    assert other["title"] == f"{text} → zwei und X"
    ids = [BOS, *translator.tokenizer.encode("zwei und X")]
    source = jnp.array([[*translator.tokenizer.encode(text), EOS]])
    expected = attention_weights(translator.model, translator.variables, (source, jnp.array([ids])))
    assert_close(other["weights"]["cross"], expected["cross"][:, 0], 1e-5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ((" \t",), "text is blank: give one to look at"),
        (("two", ""), "target is blank: give one"),
        (("twenty two " * 23,), r"text has \d+ tokens, but the model reads 23: give a shorter one"),
    ],
)
def test_what_cannot_be_translated_is_refused_in_one_line(translator, texts, message):
    with pytest.raises(UserError, match=message) as error:
        translator.attend(*texts)
    assert "\n" not in str(error.value)


def test_a_target_is_no_longer_than_a_learned_table(translator):
    config = dataclasses.replace(translator.model.config, positions="learned", max_positions=7)
    model = EncoderDecoder(config, translator.tokenizer.vocab_size)
    tokens = jnp.ones((1, 5), jnp.int32)
    variables = draw_parameters(model, tokens, tokens)
    short = Translator(model, variables, translator.tokenizer, translator.decoding, 7)
    assert len(short.attend("x", "abcdef")["target_tokens"]) == 7
    with pytest.raises(UserError, match="target has 8 tokens, but the model reads 7"):
        short.attend("x", "abcdefg")


def test_attention_in_blocks_shows_the_weights_of_the_formula(translator):
    config = dataclasses.replace(translator.model.config, attention_implementation="blockwise")
    model = EncoderDecoder(config, translator.tokenizer.vocab_size)
    blocks = Translator(model, translator.variables, translator.tokenizer, translator.decoding, 23)
    for target in (None, "zwei"):
        shown, expected = (one.attend("two", target) for one in (blocks, translator))
        assert shown["title"] == expected["title"]
        for part, weights in expected["weights"].items():
            assert_close(shown["weights"][part], weights, 1e-5)
