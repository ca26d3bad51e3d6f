"""An answer depends only on its own input, not on the other inputs of a call or their order."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import MODEL
from small_tasks import to_segments
from untrained import CHARACTERS, EXPERIMENTS, MAX_LENGTH, SUBWORDS, write_workdir

from flax_transformer.data.tokens.tokenizer import EOS, PAD
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.models import DecoderOnly, DecoderOnlyConfig, EncoderDecoder
from flax_transformer.tasks.language_modeling.continuation import (
    TOKENS_PER_BATCH,
    Continuation,
    piece_batches,
)
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.tasks.masked_language_modeling.mask_filler import Filled
from flax_transformer.tasks.translation.translator import Translator
from flax_transformer.training.assemble import load

GREEDY = DecodingConfig("greedy", max_extra_length=9)
SAMPLE = DecodingConfig("sample", num_best=3, temperature=2.0, max_extra_length=9)
NUCLEUS = DecodingConfig("sample", num_best=2, top_k=7, top_p=0.9, max_extra_length=9)
BEAM = DecodingConfig("beam", beam_size=3, num_best=2, max_extra_length=9)
METHODS = {"greedy": GREEDY, "sample": SAMPLE, "nucleus": NUCLEUS, "beam": BEAM}
TEXTS = ["a", "feed", "", "bad cab ", "bag", "cafe cafe", "heh\nheh", "d" * 8, "a"]


@pytest.fixture(scope="module")
def predictors(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("untrained")
    names = ("texts", "masked", "language_model")
    return {name: load(write_workdir(folder / name, EXPERIMENTS[name])) for name in names}


@pytest.fixture(scope="module")
def generator(predictors) -> Generator:
    return predictors["language_model"]


@pytest.fixture(scope="module")
def translator() -> Translator:
    model = EncoderDecoder(dataclasses.replace(MODEL, max_positions=64), SUBWORDS.vocab_size)
    ones = jnp.ones((1, 1), jnp.int32)
    variables = jax.jit(model.init)(jax.random.key(1), ones, ones)
    variables = jax.tree.map(lambda x: 2 * x, variables)
    return Translator(model, variables, SUBWORDS, GREEDY, max_length=33)


def assert_independent(answer, inputs, several):
    """Holds that each answer is the same on its own, in two orders and among many others."""
    alone = [answer([one])[0] for one in inputs]
    assert answer(inputs) == alone
    assert answer(inputs[::-1]) == alone[::-1]
    assert answer(several[:3] + inputs + several)[3 : 3 + len(inputs)] == alone


@pytest.mark.parametrize(
    ("method", "length"),
    [
        ("greedy", 8),
        pytest.param("greedy", 41, marks=pytest.mark.slow),
        pytest.param("sample", 41, marks=pytest.mark.slow),
        ("nucleus", 8),
        ("beam", 8),
    ],
)
def test_what_is_generated_depends_on_the_prompt_only(generator, method, length):
    others = ["gab", "e" * 7, "", "fed", "b\nb"] * 9
    prompts = TEXTS if method == "beam" else [*TEXTS, "ace " * 9, "d" * MAX_LENGTH]
    assert_independent(
        lambda texts: generator.generate(texts, METHODS[method], length=length, seed=5),
        prompts,
        others,
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_translation_depends_on_the_text_only(translator, method):
    def translate(texts):
        found = translator.translate_n_best(texts, METHODS[method], seed=5)
        return [[text for text, _ in several] for several in found]

    assert_independent(translate, [*TEXTS, "two " * 20], ["twenty", "x" * 30, " "] * 15)


def test_samples_of_a_prompt_have_numbers_and_a_seed(generator, translator):
    more = dataclasses.replace(SAMPLE, num_best=5)
    for search in (generator.generate_n_best, translator.translate_n_best):
        (found,) = search("bad", more, seed=3)
        assert len(set(found)) > 3
        (fewer,) = search("bad", SAMPLE, seed=3)
        assert [text for text, _ in found[:3]] == [text for text, _ in fewer]
        assert found != search("bad", more, seed=4)[0]


def test_a_class_depends_on_the_text_only(predictors):
    texts = [text for text in TEXTS if text.strip()]
    classify = predictors["texts"].classify
    together = classify(texts)
    for order in (texts, texts[::-1], texts * 5, *([text] for text in texts)):
        for text, found in zip(order, classify(order), strict=True):
            expected = together[texts.index(text)]
            assert found.label == expected.label
            assert found.probabilities == pytest.approx(expected.probabilities, rel=1e-5)


def test_a_filled_gap_depends_on_the_text_only(predictors):
    texts = [f"{text}[MASK]" for text in TEXTS]
    fill = predictors["masked"].fill
    together = fill(texts)
    assert [fill([text])[0] for text in texts] == together
    assert fill(texts[::-1])[::-1] == together


@pytest.mark.parametrize("scheme", ["learned", "sinusoidal", "rotary", "alibi", "relative"])
def test_every_positional_scheme_counts_from_the_prompt(scheme):
    """Prompts are aligned at their ends, whatever the longest one is."""
    sizes: dict[str, Any] = {"num_layers": 1, "d_model": 12, "d_ff": 5, "num_heads": 3}
    config = DecoderOnlyConfig(positions=scheme, max_positions=40, attention_window=7, **sizes)
    model = DecoderOnly(config, CHARACTERS.vocab_size)
    variables = jax.jit(model.init)(jax.random.key(2), jnp.ones((1, 1), jnp.int32))
    generator = Generator(model, variables, CHARACTERS, SAMPLE, max_length=40)
    together = generator.generate_n_best(["a", "bad", "d" * 31], length=9)
    for prompt, found in zip(("a", "bad"), together, strict=False):
        (alone,) = generator.generate_n_best(prompt, length=9)
        assert [text for text, _ in alone] == [text for text, _ in found]
        assert [s for _, s in alone] == pytest.approx([s for _, s in found], rel=1e-5)
        assert any(text for text, _ in found)


def test_a_string_is_one_text(generator, translator, predictors):
    assert generator.generate("feed") == generator.generate(["feed"])
    assert translator.translate("feed") == translator.translate(["feed"])[0]
    assert translator.translate_n_best("feed") == translator.translate_n_best(["feed"])
    fill = predictors["masked"].fill
    assert fill("a[MASK]") == fill(["a[MASK]"])


def test_a_text_without_a_gap_is_given_back(predictors):
    texts = ["no  gap ", "", "a[MASK]", "more than the model reads" * 9, "[mask]\t"]
    filled = predictors["masked"].fill(texts)
    assert filled.pop(2).gaps
    del texts[2]
    assert filled == [Filled(text, []) for text in texts]


def by_hand(generator: Generator, prompt: str, length: int) -> str:
    """Reads the whole text again for every token."""
    read: list[int] = CHARACTERS.encode(prompt)
    start = len(read)
    apply = jax.jit(generator.model.apply)
    for _ in range(length):
        padded = jnp.array([read + [PAD] * (MAX_LENGTH - len(read))], jnp.int32)
        logits: Any = apply(generator.variables, padded, segments=to_segments(padded))
        read.append(2 + int(np.argmax(logits[0, len(read) - 1, 2:])))  # no PAD, no BOS
        if read[-1] == EOS:
            break
    return CHARACTERS.decode(read[start:])


def test_nothing_is_dropped_while_prompt_and_output_fit(generator):
    """The last token that is written is not read."""
    prompts = ["a", "bag", "cafe cafe", "bad cab bad cabb", "d" * MAX_LENGTH]
    for prompt in prompts:
        room = MAX_LENGTH - len(prompt) + 1
        expected = by_hand(generator, prompt, room)
        for company in ([prompt], [*prompts, prompt]):
            assert generator.generate(company, GREEDY, length=room)[-1] == [expected]


def test_a_longer_output_begins_as_a_shorter_one(generator):
    for decoding in (GREEDY, SAMPLE):
        short, long = (generator.generate(TEXTS, decoding, length=n) for n in (5, 60))
        for some, more in zip(short, long, strict=True):
            assert [text[: len(few)] for text, few in zip(more, some, strict=True)] == some


def test_pieces_come_in_few_shapes_of_bounded_size():
    rng = np.random.default_rng(0)
    reach = 1000
    texts = [Continuation([3] * n, 100) for n in rng.integers(1, 1500, 3000).tolist()]
    batches = list(piece_batches(texts, reach, CHARACTERS))
    shapes = {(*rows.prompts.shape, room) for _, rows, room in batches}
    assert len(shapes) < 40
    assert all(rows * (read + room) <= TOKENS_PER_BATCH for rows, read, room in shapes)
    found = [text for several, _, _ in batches for text in several]
    assert set(found) == set(texts)
    assert len(found) == len(texts)


@pytest.mark.parametrize("reach", [1, 2, 3, 17])
def test_a_piece_never_exceeds_what_the_model_reads(reach):
    for size in (1, reach, reach + 1, 50):
        text = Continuation(list(range(3, 3 + size)), 7)
        lengths = []
        while not text.has_ended:
            read, limit = text.piece(reach)
            assert 1 <= limit <= 7
            assert 1 <= len(read) <= len(read) + limit - 1 <= reach
            lengths.append(limit)
            text.add([5] * limit, -1.0, (EOS,))
        assert sum(lengths) == 7
