import itertools

import jax
import numpy as np
import optax
import pytest
from small import MODEL, PAIRS, SOURCES, TARGETS
from small_tasks import pair_batch, translation_task

from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.tasks.translation.translator import Translator
from flax_transformer.training.step import init_state, make_train_step


@pytest.fixture(scope="module", autouse=True)
def tasks_quickly_compiled(quickly_compiled):
    """The functions, modules and models that tasks join are tested as users compile them."""


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(itertools.chain(SOURCES, TARGETS), vocab_size=307)


@pytest.fixture(scope="session")
def task(tokenizer) -> TranslationTask:
    return translation_task(MODEL, tokenizer, TranslationConfig(0.0))


@pytest.fixture(scope="session")
def memorized(task, tokenizer):
    """Variables that translate the twenty pairs by heart."""
    sides = [TokenizedText.encode(tokenizer, texts) for texts in (SOURCES, TARGETS)]
    rows = np.arange(len(PAIRS))
    batch = pair_batch(*(side.pad(rows, int(side.lengths.max()))[0] for side in sides))
    optimizer = optax.adam(0.01)
    state = init_state(task.init(jax.random.key(0)), optimizer)
    update = jax.jit(make_train_step(task.loss, optimizer, max_skipped=1))
    for _ in range(100):
        state, metrics = update(state, batch, jax.random.key(1))
    assert metrics.loss < 0.05
    return state.variables


@pytest.fixture
def translator(task, memorized, tokenizer) -> Translator:
    decoding = DecodingConfig("greedy", max_extra_length=16)
    return Translator(task.model, memorized, tokenizer, decoding, max_length=23)
