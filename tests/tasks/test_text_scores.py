"""The log-probability of given texts: by the loss of training, and written out in float64."""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import MODEL, PAIRS, SOURCES, TARGETS
from small_tasks import language_modeling_task, pair_batch
from text_models import MODEL as LANGUAGE_MODEL

from flax_transformer.data.batches.window_batches import WindowBatches
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import BOS, EOS, Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.models import DecoderOnly, EncoderDecoder
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.tasks.translation.translator import Translator

GREEDY = DecodingConfig("greedy", max_extra_length=16)
MAX_LENGTH = 11
TOKENIZER = Tokenizer.of_characters(["abcdefgh"])
TEXTS = ["a", "", "feed", "cabbage", "headache", "a", "hhhhhhhhhh"]
LONG = "bad cab fed a deaf bee" * 3


@pytest.fixture(scope="module")
def generator() -> Generator:
    config = dataclasses.replace(LANGUAGE_MODEL, max_positions=MAX_LENGTH)
    model = DecoderOnly(config, TOKENIZER.vocab_size)
    variables = jax.jit(model.init)(jax.random.key(3), jnp.ones((1, 1), jnp.int32))
    return Generator(model, variables, TOKENIZER, GREEDY, MAX_LENGTH)


@pytest.fixture(scope="module")
def scored(task, memorized, tokenizer) -> Translator:
    return Translator(task.model, memorized, tokenizer, GREEDY, max_length=23)


def log_prob(logits: Any, token: int) -> float:
    logits = np.asarray(logits).astype(np.float64)
    return float(logits[token] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())


def by_hand(generator: Generator, text: str) -> float:
    """Token by token in NumPy's float64, from logits of everything before it."""
    ids = [EOS, *TOKENIZER.encode(text), EOS]
    return sum(
        log_prob(logits_after(generator, ids[:place]), ids[place]) for place in range(1, len(ids))
    )


@functools.partial(jax.jit, static_argnames="model")
def apply(model, variables, tokens):
    return model.apply(variables, tokens)


def logits_after(generator: Generator, ids: list[int]) -> Any:
    """Of one shape: a model that reads from left to right does not see what fills the row."""
    row = np.pad(np.array(ids, np.int32), (0, MAX_LENGTH - len(ids)))
    return apply(generator.model, generator.variables, row[None])[0, len(ids) - 1]


@pytest.fixture(scope="module")
def loss_of(generator) -> Callable[[str], tuple[float, float]]:
    """The loss that training and `evaluate` sum, and its number of tokens."""
    loss = jax.jit(language_modeling_task(generator.model.config, TOKENIZER.vocab_size).loss)

    def of_text(text: str) -> tuple[float, float]:
        stream = np.array([EOS, *TOKENIZER.encode(text), EOS], np.int32)
        batches = WindowBatches(stream, MAX_LENGTH, 3, seed=None)
        key = jax.random.key(0)
        sums = [loss(generator.variables, batch, key) for _, batch in batches.epoch()]
        return float(sum(s[0] for s in sums)), float(sum(s[1] for s in sums))

    return of_text


def test_a_text_has_the_sum_of_its_tokens_and_the_end(generator):
    for text, score in zip(TEXTS, generator.score(TEXTS), strict=True):
        assert score.num_tokens == len(text) + 1
        assert score.log_prob == pytest.approx(by_hand(generator, text), rel=1e-5)
        assert score.mean_log_prob == score.log_prob / score.num_tokens


@pytest.mark.filterwarnings("ignore::flax_transformer.tasks.given_texts.CutTextWarning")
@pytest.mark.parametrize("text", ["", "cabbage", "h" * 10, "h" * 11, LONG])
def test_a_text_has_the_loss_of_training(generator, loss_of, text):
    loss, num_tokens = loss_of(text)
    score = generator.score(text)
    assert (score.num_tokens, score.log_prob) == (num_tokens, pytest.approx(-loss, rel=1e-5))


def test_all_continuations_of_a_text_have_probability_one(generator):
    """The probabilities of all next tokens, with the end mark, sum to that of the text."""
    texts = ["bad" + letter for letter in "abcdefgh"]
    # The rest goes to PAD, BOS and the unknown character, which texts cannot hold.
    logits = logits_after(generator, [EOS, *TOKENIZER.encode("bad")])
    unspelled = sum(np.exp(log_prob(logits, token)) for token in (0, BOS, 3))
    before = generator.score("bad").log_prob - log_prob(logits, EOS)
    goes_on = [
        score.log_prob - log_prob(logits_after(generator, [EOS, *TOKENIZER.encode(text)]), EOS)
        for text, score in zip(texts, generator.score(texts), strict=True)
    ]
    ends = generator.score("bad").log_prob
    total = sum(np.exp(np.array([ends, *goes_on]) - before)) + unspelled
    assert total == pytest.approx(1, rel=1e-5)


def test_a_long_text_is_scored_in_pieces_with_a_warning(generator):
    with pytest.warns(CutTextWarning, match=r"text 2 has 67 tokens, more than the 11 .* pieces"):
        generator.score(["a", LONG])
    with pytest.warns(CutTextWarning, match=r"text 1 \(and 1 more\) has"):
        generator.score([LONG, "a", LONG])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generator.score("h" * (MAX_LENGTH - 1))


def test_scores_depend_on_their_own_text_only(generator, scored):
    many = [*TEXTS, *("abcdefgh" * 9)[:57]]
    for texts in (many, many[::-1]):
        for text, score in zip(texts, generator.score(texts), strict=True):
            alone = generator.score(text)
            assert score.num_tokens == alone.num_tokens
            assert score.log_prob == pytest.approx(alone.log_prob, rel=1e-5)
    for pair, score in zip(PAIRS, scored.score(SOURCES, TARGETS), strict=True):
        assert score.log_prob == pytest.approx(scored.score(*pair[:2]).log_prob, abs=1e-5)


def test_a_string_is_one_text(generator, scored):
    assert generator.score(["bad"]) == [generator.score("bad")]
    assert generator.score([]) == []
    assert scored.score([SOURCES[0]], [TARGETS[0]]) == [scored.score(SOURCES[0], TARGETS[0])]
    assert scored.score([], []) == []


@pytest.mark.parametrize("target", [TARGETS[3], "", "zwei zwei x", "drei und"])
def test_a_translation_has_the_loss_of_training(scored, task, tokenizer, target):
    sides = [TokenizedText.encode(tokenizer, [text]) for text in (SOURCES[3], target)]
    batch = pair_batch(*(side.pad(np.array([0]), int(side.lengths[0]))[0] for side in sides))
    loss, num_tokens, *_ = task.loss(scored.variables, batch, jax.random.key(0))
    score = scored.score(SOURCES[3], target)
    assert score.num_tokens == num_tokens == len(tokenizer.encode(target)) + 1
    assert score.log_prob == pytest.approx(-float(loss), rel=1e-4, abs=1e-5)
    source, read, expected = jnp.asarray(batch.source), [BOS], 0.0
    for token in (*tokenizer.encode(target), EOS):
        logits = task.model.apply(scored.variables, source, jnp.array([read], jnp.int32))
        expected += log_prob(logits[0, -1], token)
        read.append(token)
    assert score.log_prob == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_greedy_translation_has_the_score_of_its_search(scored):
    for source in SOURCES[:3]:
        [[found]] = scored.translate_n_best(source)
        assert scored.score(source, found.text).log_prob == pytest.approx(found.score, abs=1e-4)


def test_texts_that_a_translator_cannot_hold(scored, tokenizer):
    long = "twenty two " * 20
    cut = tokenizer.decode(tokenizer.encode(long)[: scored.max_length - 1])
    with pytest.warns(CutTextWarning, match=r"text 1 has \d+ tokens, .* only the first 23 of"):
        score = scored.score(long, "zwei")
    assert score.log_prob == pytest.approx(scored.score(cut, "zwei").log_prob, rel=1e-4)
    assert scored.score("two", long).num_tokens == len(tokenizer.encode(long)) + 1
    config = dataclasses.replace(MODEL, positions="learned", max_positions=24)
    model = EncoderDecoder(config, tokenizer.vocab_size)
    learned = Translator(model, scored.variables, tokenizer, GREEDY, max_length=23)
    with pytest.raises(UserError, match=r"target 2 has \d+ tokens, but .* at most 24: split"):
        learned.score(["two", "two"], ["zwei", long])
    with pytest.raises(UserError, match="1 sources but 2 targets"):
        scored.score(["two"], ["zwei", "zwei"])
