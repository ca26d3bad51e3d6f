"""Texts that are written together are those that the generator writes alone."""

import asyncio
import dataclasses
import random
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from text_models import MODEL

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.models import DecoderOnly
from flax_transformer.serving.batcher import ClosedError, FullError
from flax_transformer.serving.running_batch import Piece, RunningBatch
from flax_transformer.serving.text_writer import Sampling, TextWriter, WrittenTexts
from flax_transformer.tasks.language_modeling.continuation import Continuation
from flax_transformer.tasks.language_modeling.generator import Generator

pytestmark = [pytest.mark.platforms, pytest.mark.usefixtures("quickly_compiled")]
MAX_LENGTH, MAX_ROWS = 17, 5
TOKENIZER = Tokenizer.of_characters(["abcdefgh"])
GREEDY, SAMPLED = Sampling(0, 0.0, 1.0), Sampling(5, 1.0, 1.0)


@pytest.fixture(scope="module")
def generator() -> Generator:
    config = dataclasses.replace(MODEL, max_positions=MAX_LENGTH)
    model = DecoderOnly(config, TOKENIZER.vocab_size)
    variables = jax.jit(model.init)(jax.random.key(3), jnp.ones((1, 1), jnp.int32))
    variables = jax.tree.map(lambda array: 3 * array, variables)
    return Generator(model, variables, TOKENIZER, DecodingConfig("greedy"), MAX_LENGTH)


@pytest.fixture
def batch(generator) -> RunningBatch:
    return RunningBatch(
        generator.model,
        generator.variables,
        max_length=MAX_LENGTH,
        max_rows=MAX_ROWS,
        never_written=tuple(generator.never_written),
    )


@pytest.fixture
def writer(batch):
    writer = TextWriter(
        batch,
        max_length=MAX_LENGTH,
        max_rows=MAX_ROWS,
        capacity=50,
        end_ids=tuple(TOKENIZER.end_ids),
    )
    yield writer
    writer.close()


def begin(writer: TextWriter, prompt: str, length: int, sampling: Sampling, copies: int = 1):
    ids = TOKENIZER.encode_prompt(prompt)
    request = WrittenTexts([Continuation(ids, length, copy) for copy in range(copies)], sampling)
    writer.submit(request)
    return request


async def texts_of(request: WrittenTexts) -> list[str]:
    tokens: list[list[int]] = [[] for _ in request.texts]
    async for written in request:
        tokens[written.place].append(written.token)
    return list(map(TOKENIZER.decode, tokens))


def expected(generator: Generator, prompt: str, length: int, sampling: Sampling, copies: int):
    decoding = DecodingConfig("greedy")
    if sampling.temperature:
        given: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        decoding = DecodingConfig("sample", num_best=copies, **given)
    [texts] = generator.generate([prompt], decoding, length=length, seed=sampling.seed)
    return texts


def test_texts_that_come_at_any_time_are_those_of_the_generator(generator, writer):
    draw = random.Random(0)
    asked = []
    for _ in range(14):
        prompt = "".join(draw.choices("abcdefgh", k=draw.randint(0, MAX_LENGTH)))
        temperature, top_p = draw.choice([(0.0, 1.0), (0.7, 1.0), (1.2, 0.8)])
        copies = 2 if temperature else 1
        sampling = Sampling(draw.randint(0, 9), temperature, top_p)
        asked.append((prompt, draw.randint(1, 50), sampling, copies))

    async def ask(delay: float, one: Any) -> list[str]:
        await asyncio.sleep(delay)
        return await texts_of(begin(writer, *one))

    async def ask_all() -> list[list[str]]:
        return await asyncio.gather(*(ask(draw.random(), one) for one in asked))

    found = asyncio.run(ask_all())
    assert found == [expected(generator, *one) for one in asked]


def test_a_text_that_is_not_needed_any_more_leaves_the_others_alone(generator, writer, batch):
    async def ask() -> list[str]:
        kept = begin(writer, "ab", 40, GREEDY)
        left = begin(writer, "cd", 10**6, SAMPLED, copies=4)
        async for written in left:
            left.cancel(written.place)
        return await texts_of(kept)

    assert asyncio.run(ask()) == expected(generator, "ab", 40, GREEDY, 1)
    # Each was dropped: otherwise closing would take a million steps.
    writer.close()
    assert batch.num_active == 0


def test_an_error_is_that_of_the_texts_that_ran(generator, writer, batch, monkeypatch):
    def fail() -> None:
        monkeypatch.undo()
        # What a step leaves that fails: it writes into the cache that it is given.
        jax.tree.map(lambda array: array.delete(), batch._cache)
        raise MemoryError("too large")

    async def ask() -> list[str]:
        monkeypatch.setattr(batch, "step", fail)
        with pytest.raises(MemoryError, match="too large"):
            await texts_of(begin(writer, "ab", 9, GREEDY))
        return await texts_of(begin(writer, "cd", 9, GREEDY))

    assert asyncio.run(ask()) == expected(generator, "cd", 9, GREEDY, 1)


def test_all_or_none_of_a_request_wait_and_nothing_after_closing(writer):
    async def ask() -> None:
        with pytest.raises(FullError):
            begin(writer, "a", 3, SAMPLED, copies=51)
        request = begin(writer, "a", 30, SAMPLED, copies=3)
        await asyncio.to_thread(writer.close)
        # What was asked before is written to its end.
        assert len([written async for written in request if written.is_last]) == 3
        with pytest.raises(ClosedError):
            begin(writer, "a", 3, GREEDY)

    asyncio.run(ask())
    assert writer.num_waiting == 0


def test_nothing_is_compiled_after_the_start(batch, caplog):
    done = []
    batch.warm_up(lambda: done.append(1))
    # 1, 4 and 5 rows; 34 places hold a text that ends and one that begins.
    assert len(done) == batch.num_sizes == 3
    assert batch.num_active == 0
    with jax.log_compiles():
        for number in range(MAX_ROWS):
            batch.join(number, Piece([5] * (3 * number + 1), 9, (0, 0, 0), 3, 1.0, 0.9))
            batch.step()
        for number in range(MAX_ROWS - 1):
            batch.leave(number)
            batch.step()
    compiled = [record.message for record in caplog.records if "Compiling" in record.message]
    assert not compiled
