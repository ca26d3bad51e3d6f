"""Rules for the next token and stop strings of texts that are continued."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from text_models import MODEL

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.models import DecoderOnly
from flax_transformer.tasks.language_modeling.generator import Generator

GREEDY = DecodingConfig("greedy")
SAMPLE = DecodingConfig("sample", num_best=3, temperature=2.0)
BEAM = DecodingConfig("beam", num_best=2)
MAX_LENGTH = 11
TOKENIZER = Tokenizer.of_characters(["abcdefgh"])
PROMPTS = ["a", "feed", "", "cabbage", "bad"]


@pytest.fixture(scope="module")
def generator() -> Generator:
    model = DecoderOnly(dataclasses.replace(MODEL, max_positions=MAX_LENGTH), TOKENIZER.vocab_size)
    variables = jax.jit(model.init)(jax.random.key(3), jnp.ones((1, 1), jnp.int32))
    return Generator(model, variables, TOKENIZER, GREEDY, MAX_LENGTH)


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLE], ids=lambda config: config.method)
def test_a_stop_string_ends_a_text_at_its_first_place(generator, decoding):
    """In whatever pieces a text is written, and wherever its tokens end, which are letters here."""
    whole = generator.generate(PROMPTS, decoding, length=40)
    for stop in (("ab",), ("e", "gf", "ccc"), ("hhhhhhhhh",)):
        stopped = dataclasses.replace(decoding, stop=stop)
        found = generator.generate(PROMPTS, stopped, length=40)
        for texts, expected in zip(found, whole, strict=True):
            assert texts == [before_any(text, stop) for text in expected]


def before_any(text: str, stop: tuple[str, ...]) -> str:
    """The longest beginning of the text of which every letter is before all stop strings."""
    places = (place for place in range(len(text)) if text[place:].startswith(stop))
    return text[: next(places, len(text))]


def test_nothing_more_is_written_after_a_stop_string(generator, monkeypatch):
    [[text]] = generator.generate("feed", GREEDY, length=60)
    assert len(text) == 60
    rows = []
    find = generator.search
    monkeypatch.setattr(
        generator, "search", lambda *args, **options: rows.append(1) or find(*args, **options)
    )
    generator.generate("feed", dataclasses.replace(GREEDY, stop=(text[3:6],)), length=60)
    assert len(rows) == 1
    generator.generate("feed", GREEDY, length=60)
    assert len(rows) > 5


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLE, BEAM], ids=lambda config: config.method)
def test_rules_hold_whatever_the_other_prompts_are(generator, decoding):
    decoding = dataclasses.replace(
        decoding, repetition_penalty=1.5, no_repeat_ngram_size=2, min_length=9
    )
    together = generator.generate(PROMPTS, decoding, length=5)
    assert together == [generator.generate([prompt], decoding, length=5)[0] for prompt in PROMPTS]
    for prompt, texts in zip(PROMPTS, together, strict=True):
        for text in texts:
            pairs = [(prompt + text)[place : place + 2] for place in range(len(prompt + text) - 1)]
            written = pairs[max(len(prompt) - 1, 0) :]
            assert all(pairs.count(pair) == 1 for pair in written if pair not in prompt)
            assert not set(written) & {prompt[i : i + 2] for i in range(len(prompt) - 1)}


@pytest.mark.parametrize("min_length", [9, 26])
def test_the_least_length_counts_what_is_no_longer_read(generator, min_length):
    """At a high temperature one in ten tokens is the end mark, of the letters and this one."""
    hot = DecodingConfig("sample", num_best=64, temperature=1e6, min_length=min_length)
    [texts] = generator.generate(["feed"], hot, length=60)
    lengths = [len("feed" + text) for text in texts]
    assert min(lengths) == min_length
    assert len(set(lengths)) > 5
