import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from interrupted import crash, interrupt_batches
from overfitting import fit
from reference import assert_close
from rich.console import Console
from small import with_fields
from small_tasks import labeled_texts, letters, masked_task
from small_texts import MODEL, TEXTS, classification, masked

from flax_transformer.data.tokens.tokenizer import BOS, EOS, NUM_SPECIAL, PAD
from flax_transformer.errors import UserError
from flax_transformer.functional.row_keys import of_rows
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingConfig,
    MaskedLanguageModelingTask,
)
from flax_transformer.tasks.masked_language_modeling.masking import mask_tokens
from flax_transformer.training.assemble import evaluate, load
from flax_transformer.training.durability.resume_proof import differences
from flax_transformer.training.loop import train
from flax_transformer.training.step import init_state, make_train_step

VOCAB, ROWS, LENGTH = 29, 5, 11
TOKENIZER = letters(VOCAB)
RNG = np.random.default_rng(0)


def draw_tokens(rows: int, length: int) -> np.ndarray:
    tokens = RNG.integers(NUM_SPECIAL, VOCAB, (rows, length))
    tokens[:, 0], tokens[:, -3], tokens[:, -2:] = BOS, EOS, PAD
    return tokens.astype(np.int32)


@pytest.fixture(scope="module")
def task() -> MaskedLanguageModelingTask:
    return masked_task(MODEL, VOCAB, mask_rate=0.4)


@pytest.fixture(scope="module")
def variables(task):
    return task.init(jax.random.key(0))


def test_tokens_are_hidden_as_often_and_in_the_ways_that_bert_hides_them():
    tokens = draw_tokens(503, 211)
    hidden, is_chosen = map(np.asarray, mask_tokens(jax.random.key(3), tokens, TOKENIZER, 0.15))
    is_word = tokens >= NUM_SPECIAL
    assert not is_chosen[~is_word].any()
    np.testing.assert_array_equal(hidden[~is_chosen], tokens[~is_chosen])

    def assert_share(is_true, share):
        # Five standard deviations of the binomial distribution.
        assert abs(is_true.mean() - share) < 5 * math.sqrt(share * (1 - share) / is_true.size)

    assert_share(is_chosen[is_word], 0.15)
    now, before = hidden[is_chosen], tokens[is_chosen]
    assert_share(now == TOKENIZER.mask_id, 0.8)
    # What is replaced by any token may be replaced by itself.
    num_words = VOCAB - NUM_SPECIAL
    assert_share(now == before, 0.1 + 0.1 / num_words)
    others = now[(now != TOKENIZER.mask_id) & (now != before)]
    assert set(others.tolist()) == set(range(NUM_SPECIAL, VOCAB))
    counts = np.bincount(others, minlength=VOCAB)[NUM_SPECIAL:]
    assert counts.min() > 0.5 * counts.mean()


def test_which_places_are_chosen_depends_on_no_token():
    tokens = draw_tokens(ROWS, LENGTH)
    others = np.where(tokens >= NUM_SPECIAL, NUM_SPECIAL, tokens)
    chosen, again = (mask_tokens(jax.random.key(5), x, TOKENIZER, 0.4)[1] for x in (tokens, others))
    np.testing.assert_array_equal(chosen, again)


def test_the_loss_is_that_of_the_chosen_places_alone(task, variables):
    """By its formula, from the scores of all places, in float64."""
    tokens, key = draw_tokens(ROWS, LENGTH), jax.random.key(7)
    loss, weight, statistics, _ = jax.jit(task.loss)(variables, labeled_texts(tokens), key)
    hidden, is_chosen = mask_tokens(jax.random.split(key)[0], tokens, TOKENIZER, 0.4)
    predict = jax.jit(functools.partial(task.model.apply, method="predict_tokens"))
    logits = predict(variables, hidden, segments=jnp.asarray(tokens != PAD, jnp.int32))
    logits = np.asarray(logits, np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    right = np.take_along_axis(log_probabilities, tokens[..., None], axis=-1)[..., 0]
    is_chosen = np.asarray(is_chosen)
    assert 5 < is_chosen.sum() == weight
    assert_close(loss, -right[is_chosen].sum(), 1e-5)
    assert statistics == {}


def test_a_token_that_is_hidden_is_not_seen(task, variables):
    """What stood behind a mask changes the loss's target, and no score."""
    tokens = draw_tokens(ROWS, LENGTH)
    key = jax.random.key(11)
    hidden, _ = mask_tokens(jax.random.split(key)[0], tokens, TOKENIZER, 0.4)
    row, place = np.argwhere((np.asarray(hidden) == TOKENIZER.mask_id) & (tokens != PAD))[0]
    changed = tokens.copy()
    changed[row, place] = NUM_SPECIAL + (tokens[row, place] - NUM_SPECIAL + 1) % (
        VOCAB - NUM_SPECIAL
    )
    gradient = jax.jit(jax.grad(lambda p, batch: task.loss({"params": p}, batch, key)[0]))
    gradients = [gradient(variables["params"], labeled_texts(x)) for x in (tokens, changed)]
    by_bias = [np.asarray(gradient["token_bias"]["bias"]) for gradient in gradients]
    # d loss / d bias = sum over chosen places of (probabilities - one-hot target)
    expected = np.zeros(VOCAB)
    expected[tokens[row, place]], expected[changed[row, place]] = 1, -1
    assert_close(by_bias[1] - by_bias[0], expected, 1e-5)


def test_a_batch_without_a_text_asks_for_nothing(task, variables):
    empty = labeled_texts(np.zeros((ROWS, LENGTH), np.int32))
    loss, weight, *_ = jax.jit(task.loss)(variables, empty, jax.random.key(0))
    assert (float(loss), float(weight)) == (0, 0)


def test_one_batch_is_learned_by_heart(task, variables):
    """With the same tokens hidden each time."""
    batch = labeled_texts(draw_tokens(ROWS, LENGTH))
    first, last = fit(
        lambda params: task.loss({"params": params}, batch, jax.random.key(0))[0],
        variables["params"],
    )
    assert last < 0.05 * first


def test_the_sum_over_micro_batches_takes_other_masks_for_each(task, variables):
    tokens = np.repeat(draw_tokens(1, LENGTH), 8, axis=0)
    optimizer = optax.sgd(0.1)
    step = make_train_step(task.loss, optimizer, max_skipped=1, accumulate_steps=2)
    state = init_state(variables, optimizer)
    _, metrics = jax.jit(step)(state, labeled_texts(tokens), jax.random.key(0))
    key, loss = jax.random.fold_in(jax.random.key(0), 0), jax.jit(task.loss)
    parts = [loss(variables, labeled_texts(tokens[i::2]), of_rows(key, i, 2, 4)) for i in range(2)]
    assert parts[0][0] != parts[1][0]
    assert_close(metrics.weight, sum(float(part[1]) for part in parts), 1e-6)
    assert_close(metrics.loss * metrics.weight, sum(float(part[0]) for part in parts), 1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("masked")


@pytest.fixture(scope="module")
def experiment(folder):
    """Saves in the middle; to repeat, it needs the same masks and the same dropout."""
    experiment = with_fields(masked(folder), "model", residual_dropout_rate=0.1)
    return with_fields(
        experiment, "training", num_steps=6, evaluate_every_steps=3, checkpoint_every_steps=2
    )


def test_a_continued_training_hides_the_same_tokens(experiment, folder, monkeypatch):
    console = Console(quiet=True)
    train(experiment, folder / "straight", console)
    with monkeypatch.context() as patch:
        interrupt_batches(patch, 4, crash)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, folder / "continued", console)
    train(experiment, folder / "continued", console)
    assert not list(differences(folder / "straight", folder / "continued"))


def test_it_learns_fills_and_is_scored_the_same_way_twice(folder):
    experiment = with_fields(masked(folder), "task", mask_rate=0.3)
    experiment = with_fields(experiment, "training", num_steps=150)
    train(experiment, folder / "learned", Console(quiet=True))
    scores = [evaluate(folder / "learned", "validation", command=())[0].scores for _ in range(2)]
    assert scores[0] == scores[1]
    assert set(scores[0]) == {"loss", "perplexity", "token_accuracy"}
    assert_close(math.exp(scores[0]["loss"].value), scores[0]["perplexity"].value, 1e-6)
    # A name cannot be told from its neighbors, a verb to a half, and bytes of a name entirely.
    assert scores[0]["loss"].value < 2
    [filled] = load(folder / "learned").fill(["Ada [MASK] Ben"], top=2)
    assert set(filled.gaps[0]) == {" greets", " calls"}
    assert sum(filled.gaps[0].values()) > 0.8
    assert filled.text in {"Ada greets Ben", "Ada calls Ben"}


def test_labeled_texts_are_read_in_the_same_layout(folder):
    """What is learned from lines of text is used on labeled texts."""
    lines = masked(folder)
    labeled = dataclasses.replace(lines, data=classification(folder).data)
    tasks = [
        MaskedLanguageModelingTask.open(one, folder / "none", training=True)
        for one in (lines, labeled)
    ]
    batches = [task.batches("train") for task in tasks]
    texts = [
        {row["text"] for row in task.examples(of[0])}
        for task, of in zip(tasks, batches, strict=True)
    ]
    assert texts[0] == texts[1] == {text for text, _ in TEXTS}
    for rows in (of[0].inputs for of in batches):
        assert set(rows[:, 0].tolist()) == {BOS}
        assert ((rows == EOS).sum(axis=1) == 1).all()


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(UserError, match=r"--task\.mask-rate must be above 0 and below 1"):
        MaskedLanguageModelingConfig(mask_rate=rate)


def test_a_gap_that_cannot_be_filled_is_told(folder, experiment):
    task = MaskedLanguageModelingTask.open(experiment, folder / "none", training=True)
    filler = task.predictor(task.init(jax.random.key(0)))
    assert filler.fill([]) == []
    with pytest.raises(UserError, match=r"text 1 has 33 tokens, but the model reads 13"):
        filler.fill(["[MASK]" + "é" * 15])
    with pytest.raises(UserError, match="--top must be at least 1"):
        filler.fill(["[MASK]"], top=0)
    with pytest.raises(UserError, match=r"text 7 has 33 tokens"):
        filler.fill(["[MASK]", "[MASK]" + "é" * 15], first_line=6)
    [filled] = filler.fill(["[MASK][MASK]"], top=10_000)
    assert [len(gap) for gap in filled.gaps] == [filler.tokenizer.vocab_size - NUM_SPECIAL] * 2
