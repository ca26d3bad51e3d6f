import dataclasses
import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from text_models import MODEL

from flax_transformer.data.tokens.tokenizer import EOS, Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.models import DecoderOnly
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.language_modeling.generator import Generator

GREEDY = DecodingConfig("greedy", max_extra_length=5)
MAX_LENGTH = 11
TOKENIZER = Tokenizer.of_characters(["abcdefgh"])


@pytest.fixture(scope="module")
def generator() -> Generator:
    model = DecoderOnly(dataclasses.replace(MODEL, max_positions=MAX_LENGTH), TOKENIZER.vocab_size)
    variables = jax.jit(model.init)(jax.random.key(3), jnp.ones((1, 1), jnp.int32))
    return Generator(model, variables, TOKENIZER, GREEDY, MAX_LENGTH)


@functools.partial(jax.jit, static_argnames="model")
def apply(model, variables, tokens):
    return model.apply(variables, tokens)


def logits_of(generator: Generator, ids: list[int]) -> Any:
    """Of one shape: a model that reads from left to right does not see what fills the row."""
    row = np.pad(np.array(ids, np.int32), (0, MAX_LENGTH - len(ids)))
    return apply(generator.model, generator.variables, row[None])[0, : len(ids)]


def greedy_by_hand(generator: Generator, prompt: list[int], length: int, window: int) -> list[int]:
    """Reads everything again for every token, within the window it may read."""
    read, written = list(prompt), []
    while len(written) < length:
        token = 2 + int(np.argmax(logits_of(generator, read)[-1, 2:]))  # no PAD, no BOS
        written.append(token)
        if token == EOS:
            break
        read.append(token)
        if len(read) > window:
            read = read[-(MAX_LENGTH // 2) :]
    return written


@pytest.mark.parametrize("prompt", ["a", "bad", "cabbage", "feedbacked"])
def test_greedy_is_what_reading_everything_again_gives(generator, prompt):
    length = MAX_LENGTH - max(MAX_LENGTH // 2, len(prompt)) + 1
    [[text]] = generator.generate([prompt], length=length)
    ids = greedy_by_hand(generator, TOKENIZER.encode(prompt), length, MAX_LENGTH)
    assert text == TOKENIZER.decode(ids)


def test_a_long_text_goes_on_from_the_last_half(generator):
    """The model reads 11 tokens: 5 of the prompt, 7 written; then the last 5, and 7 more."""
    [[text]] = generator.generate(["deadf"], length=18)
    first = greedy_by_hand(generator, TOKENIZER.encode("deadf"), 7, 99)
    second = greedy_by_hand(generator, first[-5:], 7, 99)
    third = greedy_by_hand(generator, second[-5:], 4, 99)
    assert EOS not in [*first, *second, *third]
    assert text == TOKENIZER.decode([*first, *second, *third])


@pytest.mark.parametrize("length", [4, 18])
def test_a_score_is_the_log_probability_of_what_is_written(generator, length):
    """Of 18 tokens the first 7 are written after all of the prompt, the others after 5 tokens."""
    prompt = TOKENIZER.encode("deadf")
    [[(text, score)]] = generator.generate_n_best("deadf", length=length)
    ids = TOKENIZER.encode(text)
    assert len(ids) == length
    log_prob = 0.0
    for start in range(0, length, 7):
        read = (prompt + ids[:start])[-5:]
        piece = ids[start : start + 7]
        logits = logits_of(generator, (read + piece)[:-1])
        log_probs = jax.nn.log_softmax(logits.at[:, :2].set(-jnp.inf))  # no PAD, no BOS
        log_prob += sum(log_probs[4 + i, token] for i, token in enumerate(piece))
    assert score == pytest.approx(float(log_prob), rel=1e-5)


def test_a_string_is_one_prompt(generator):
    assert generator.generate("feed") == generator.generate(["feed"])


def test_a_prompt_that_is_not_read_whole_is_warned_of(generator):
    with pytest.warns(CutTextWarning, match=r"line 6 has 12 tokens: only the end is read, .* 11 "):
        generator.generate_n_best(["a", "abcdefghabcd"], length=1, first_line=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generator.generate(["abcdefghabc"], length=1)


def test_prompts_of_several_lengths_do_not_change_each_other(generator):
    prompts = ["a", "feed", "cabbage"]
    together = generator.generate(prompts, length=4)
    assert together == [generator.generate([prompt], length=4)[0] for prompt in prompts]
    assert generator.generate([]) == []


def test_a_long_prompt_is_read_from_its_last_tokens(generator):
    [[whole]] = generator.generate(["hhhhhhhhfeedbacked"], length=2)
    [[end]] = generator.generate(["feedbacked"], length=2)
    assert whole == end


def test_samples_are_independent_and_the_seed_repeats_them(generator):
    decoding = DecodingConfig("sample", num_best=3, temperature=2.0)
    first = generator.generate(["bad"], decoding, length=29, seed=7)
    assert first == generator.generate(["bad"], decoding, length=29, seed=7)
    assert first != generator.generate(["bad"], decoding, length=29, seed=8)
    assert len(set(first[0])) == 3


def test_a_beam_gives_its_best_and_does_not_outgrow_the_model(generator):
    beam = DecodingConfig("beam", beam_size=3, num_best=2, alpha=0.0)
    [found] = generator.generate(["bad"], beam, length=3)
    assert len(found) == 2
    one = DecodingConfig("beam", beam_size=1, alpha=0.0)
    assert generator.generate(["bad"], one, length=3) == generator.generate(["bad"], length=3)
    with pytest.raises(
        UserError, match="--length 10 is more than the 9 tokens that a beam can write"
    ):
        generator.generate(["bad"], beam, length=10)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (["bad", 7], {}, "text 2 is not a string but 7: give a list"),
        (["bad"], {"length": 0}, "--length must be at least 1, not 0"),
        (["bad"], {"seed": -1}, "--seed must be at least 0, not -1"),
    ],
)
def test_impossible_calls_are_refused(generator, prompts, options, message):
    with pytest.raises(UserError, match=message):
        generator.generate(prompts, **options)
