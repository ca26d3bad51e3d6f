"""Our rules for next tokens against Hugging Face's processors: by themselves and in searches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch

from flax_transformer.decoding import (
    History,
    SearchLimits,
    Step,
    beam_search,
    forbid_early_end,
    forbid_repeated_ngrams,
    gnmt_length_penalty,
    greedy_search,
    make_processor,
    penalize_repetition,
    sample,
)
from flax_transformer.functional.cache import Cache

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
hugging_face = pytest.importorskip("transformers.generation.logits_process", reason=REASON)

ROWS, ROOM, VOCAB, EOS, PAD = 7, 13, 5, 2, 0
RNG = np.random.default_rng(0)
SCORES = RNG.normal(scale=3, size=(ROWS, VOCAB)).astype(np.float32)
TOKENS = RNG.integers(0, VOCAB, (ROWS, ROOM)).astype(np.int32)


def history(length: int, padding: int) -> History:
    """The first tokens of every row; the places before and after them do not count."""
    is_token = (np.arange(ROOM) >= padding) & (np.arange(ROOM) < length)
    return History(
        jnp.asarray(TOKENS), jnp.asarray(np.broadcast_to(is_token, TOKENS.shape)), jnp.int32(length)
    )


def processed(processor, tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return processor(torch.tensor(tokens, dtype=torch.long), torch.tensor(scores)).numpy()


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.2, 13.0])
@pytest.mark.parametrize(("length", "padding"), [(1, 0), (7, 0), (13, 0), (7, 3), (13, 11)])
def test_the_repetition_penalty_is_theirs(penalty, length, padding):
    theirs = hugging_face.RepetitionPenaltyLogitsProcessor(penalty)
    expected = processed(theirs, TOKENS[:, padding:length], SCORES)
    penalize = jax.jit(penalize_repetition, static_argnums=2)
    ours = penalize(jnp.asarray(SCORES), history(length, padding), penalty)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12, 13, 14])
@pytest.mark.parametrize(("length", "padding"), [(1, 0), (7, 0), (13, 0), (7, 3), (13, 11)])
def test_forbidden_ngrams_are_theirs(size, length, padding):
    theirs = hugging_face.NoRepeatNGramLogitsProcessor(size)
    forbid = jax.jit(forbid_repeated_ngrams, static_argnums=2)
    expected = processed(theirs, TOKENS[:, padding:length], SCORES)
    ours = forbid(jnp.asarray(SCORES), history(length, padding), size)
    np.testing.assert_array_equal(ours, expected)
    if padding == 0 and length > size + 3 and size < 3:
        assert (expected == -np.inf).any()


@pytest.mark.parametrize("min_length", [0, 1, 6, 7, 8, 99])
def test_the_least_length_is_theirs(min_length):
    theirs = hugging_face.MinLengthLogitsProcessor(min_length, EOS)
    expected = processed(theirs, TOKENS[:, :7], SCORES)
    is_early = jnp.full(ROWS, min_length > 7)
    np.testing.assert_array_equal(forbid_early_end(jnp.asarray(SCORES), is_early, EOS), expected)


# Searches, over logits that depend on the last two tokens and on the example.
PROMPTS = np.array([[PAD, 1, 3], [1, 4, 3], [3, 3, 4]], np.int32)
LIMIT, PENALTY, SIZE, MIN_LENGTH = 6, 1.7, 2, 6
TABLE = np.random.default_rng(3).normal(scale=2, size=(3, VOCAB, VOCAB, VOCAB)).astype(np.float32)
TABLE[..., EOS] += 1.0
TABLE[..., PAD] = -np.inf


def step() -> Step:
    def read(tokens, cache):
        before = jnp.concatenate([cache.history, tokens], axis=1)
        example = jnp.repeat(cache.context, len(tokens) // len(cache.context))
        logits = jnp.asarray(TABLE)[example[:, None], before[:, :-1], before[:, 1:]]
        return logits, cache._replace(history=before[:, -1:], length=cache.length + tokens.shape[1])

    return read


def cache() -> Cache:
    return Cache(jnp.int32(0), jnp.zeros((3, 1), jnp.int32), jnp.arange(3))


def options(**settings):
    prompts = jnp.asarray(PROMPTS)
    processor = make_processor(
        prompts,
        repetition_penalty=PENALTY,
        no_repeat_ngram_size=SIZE,
        min_lengths=MIN_LENGTH - (prompts != PAD).sum(axis=1),
        eos_id=EOS,
        pad_id=PAD,
    )
    limits = SearchLimits(max_length=LIMIT, eos_id=EOS, pad_id=PAD)
    return {"limits": limits, "processor": processor, **settings}


def next_scores(example: int, output: tuple[int, ...], normalize: bool) -> tuple[np.ndarray, ...]:
    """The model's scores of the next token, and the scores after their processors."""
    read = [*PROMPTS[example], *output]
    scores = torch.tensor(TABLE[example, read[-2], read[-1]])
    log_probs = scores.log_softmax(-1)
    ids = torch.tensor([[token for token in read if token != PAD]])
    theirs = hugging_face.LogitsProcessorList(
        [
            hugging_face.RepetitionPenaltyLogitsProcessor(PENALTY),
            hugging_face.NoRepeatNGramLogitsProcessor(SIZE),
            hugging_face.MinLengthLogitsProcessor(MIN_LENGTH, EOS),
        ]
    )
    given = log_probs if normalize else scores
    return log_probs.numpy(), theirs(ids, given[None])[0].numpy()


def found_tokens(found, example: int, place: int = 0) -> tuple[int, ...]:
    length = int(found.lengths[example, place])
    return tuple(found.tokens[example, place, :length].tolist())


def greedily(example: int) -> tuple[tuple[int, ...], float]:
    output, total = (), 0.0
    while len(output) < LIMIT and EOS not in output:
        log_probs, scores = next_scores(example, output, normalize=False)
        output = (*output, int(scores.argmax()))
        total += log_probs[output[-1]]
    return output, total


def test_greedy_search_takes_what_their_processors_leave_best():
    found = jax.jit(lambda: greedy_search(step(), cache(), jnp.asarray(PROMPTS), **options()))()
    plain = greedy_search(step(), cache(), jnp.asarray(PROMPTS), **options(processor=None))
    assert (found.tokens != plain.tokens).any()
    for example in range(3):
        output, total = greedily(example)
        assert found_tokens(found, example) == output
        np.testing.assert_allclose(found.log_probs[example, 0], total, rtol=1e-5)


@pytest.mark.parametrize("num_halvings", [0, 1])
def test_beam_search_ranks_by_what_their_processors_give(num_halvings):
    """A beam that holds every hypothesis finds the best of all."""
    run = jax.jit(
        lambda: beam_search(
            step(),
            cache(),
            jnp.asarray(PROMPTS),
            beam_size=300,
            num_best=3,
            num_halvings=num_halvings,
            length_penalty=lambda length: gnmt_length_penalty(length, 0.6),
            **options(),
        )
    )
    found = run()
    for example in range(3):
        best = sorted(all_outputs(example).items(), key=lambda item: -item[1])[:3]
        assert [found_tokens(found, example, place) for place in range(3)] == [o for o, _ in best]
        np.testing.assert_allclose(found.scores[example], [s for _, s in best], rtol=1e-5)


def all_outputs(example: int) -> dict[tuple[int, ...], float]:
    """The score of everything that ends in EOS, from their processors."""
    scores, live = {}, {(): 0.0}
    for length in range(1, LIMIT + 1):
        longer = {
            (*output, token): total + gained
            for output, total in live.items()
            for token, gained in enumerate(next_scores(example, output, normalize=True)[1])
            if gained > -np.inf
        }
        penalty = ((5 + length) / 6) ** 0.6
        scores |= {output: total / penalty for output, total in longer.items() if output[-1] == EOS}
        live = {output: total for output, total in longer.items() if output[-1] != EOS}
    return scores


def test_sampling_draws_from_what_their_processors_leave():
    """Pearson's statistic of 4,999 pairs of tokens stays below its 99.9 % quantile."""
    num_samples = 4_999
    found = jax.jit(
        lambda: sample(
            step(),
            cache(),
            jnp.asarray(PROMPTS),
            rng=jax.random.key(0),
            num_samples=num_samples,
            **options(limits=SearchLimits(max_length=2, eos_id=EOS, pad_id=PAD)),
        )
    )()
    for example in range(3):
        expected = np.zeros((VOCAB, VOCAB))
        first = softmax(next_scores(example, (), normalize=False)[1])
        for token in np.flatnonzero(first):
            second = softmax(next_scores(example, (int(token),), normalize=False)[1])
            expected[token] = num_samples * first[token] * second
        counts = np.zeros((VOCAB, VOCAB))
        np.add.at(counts, tuple(np.asarray(found.tokens[example]).T), 1)
        assert counts[expected == 0].sum() == 0
        possible = expected > 0
        freedom = int(possible.sum()) - 1
        statistic = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
        assert statistic < {2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46, 7: 24.32}[freedom]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def test_left_padding_is_no_history():
    """The first prompt has two tokens: by itself it gives the same as in a batch."""
    prompt = jnp.asarray(PROMPTS[:1, 1:])
    processor = make_processor(
        prompt, repetition_penalty=PENALTY, no_repeat_ngram_size=SIZE, eos_id=EOS, pad_id=PAD
    )
    start = Cache(jnp.int32(0), jnp.zeros((1, 1), jnp.int32), jnp.arange(1))
    alone = greedy_search(step(), start, prompt, **options(processor=processor))
    prompts = jnp.asarray(PROMPTS)
    processor = make_processor(
        prompts, repetition_penalty=PENALTY, no_repeat_ngram_size=SIZE, eos_id=EOS, pad_id=PAD
    )
    together = greedy_search(step(), cache(), prompts, **options(processor=processor))
    np.testing.assert_array_equal(alone.tokens[0], together.tokens[0])
