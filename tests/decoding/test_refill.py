"""Both kinds of beams, shrink and refill, against their definitions in plain Python and float64."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import (
    all_finished,
    beam_search_to_the_limit,
    limits_of,
    outputs,
    python_penalty_of,
    ranked,
)
from history_model import BOS, EOS, PAD, HistoryModel, random_model

from flax_transformer.decoding import LENGTH_PENALTIES, beam_search, make_processor

LIMIT, BATCH, VOCAB = 7, 5, 7
# Some examples end at their limit, and one of them with its first token.
LIMITS = jnp.array([7, 1, 5, 2, 7])
PENALTIES = [(name, alpha) for name in LENGTH_PENALTIES for alpha in (0.6, 2.0, 0.0)]
RULES = {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2}
MIN_LENGTH = 2


def table_of(name: str, alpha: float) -> jax.Array:
    """The penalty of every length, so that one compiled search serves all penalties."""
    return LENGTH_PENALTIES[name](jnp.arange(LIMIT + 1), alpha)


@functools.cache
def search(beam_size: int, num_best: int, refill: bool, has_rules=False, num_halvings=0):
    """Compiled once for all tests."""

    @jax.jit
    def run(model: HistoryModel, penalties, max_lengths):
        prompt = model.prompt()
        min_lengths = jnp.full(len(prompt), MIN_LENGTH)
        rules = {**RULES, "min_lengths": min_lengths, "eos_id": EOS, "pad_id": PAD}
        return beam_search(
            model.step(),
            model.cache(),
            prompt,
            limits_of(LIMIT, max_lengths),
            beam_size=beam_size,
            refill=refill,
            length_penalty=lambda length: penalties[length],
            processor=make_processor(prompt, **rules) if has_rules else None,
            num_best=num_best,
            num_halvings=num_halvings,
        )

    return run


def apply_rules(output: tuple[int, ...], log_probs: np.ndarray) -> np.ndarray:
    """The rules in float64: penalty, then no pair of tokens twice, then no early end."""
    read = (BOS, 3, *output)
    changed = log_probs.copy()
    changed[list(set(read))] *= RULES["repetition_penalty"]
    pairs = set(itertools.pairwise(read))
    changed[[token for token in range(VOCAB) if (read[-1], token) in pairs]] = -np.inf
    if len(output) < MIN_LENGTH:
        changed[EOS] = -np.inf
    if changed.max() == -np.inf:
        changed[EOS] = log_probs[EOS]
    return changed


SIZES = [(1, 1, None), (2, 2, None), (3, 3, apply_rules), (4, 1, None), (5, 5, None)]


# Narrower beams that shrink are in test_beam.py and test_fuzz_beam.py.
@pytest.mark.parametrize(
    ("beam_size", "num_best", "rules", "refill"),
    [*((*size, True) for size in SIZES), *((*size, False) for size in SIZES[2:])],
)
def test_a_beam_follows_its_definition(beam_size, num_best, rules, refill):
    """Best outputs in order, some cut at the limit, with every penalty."""
    run = search(beam_size, num_best, refill, rules is not None)
    options = {"refill": refill} | ({"rules": rules} if rules else {})
    num_cut = 0
    for seed, penalty in enumerate(2 * PENALTIES):
        # In half of the models, most of a step's best continuations end.
        model = random_model(seed, BATCH, VOCAB, eos_logit=1.0 if seed < len(PENALTIES) else 4.0)
        found = run(model, table_of(*penalty), LIMITS)
        for example, limit in enumerate(LIMITS.tolist()):
            expected = beam_search_to_the_limit(
                model, example, limit, beam_size, num_best, python_penalty_of(*penalty), **options
            )
            assert outputs(found, example)[: len(expected)] == expected
            num_cut += sum(output[-1] != EOS for output in expected)
    assert num_cut > 0 or num_best < beam_size


def test_kinds_differ_and_a_full_beam_is_mostly_the_better():
    """With a strong penalty, what follows the first ends counts."""
    scores = {}
    for refill in (False, True):
        run = search(4, 1, refill)
        found = [
            run(random_model(seed, BATCH, VOCAB, 1.0), table_of("power", 2.0), LIMITS)
            for seed in range(30)
        ]
        scores[refill] = np.concatenate([f.scores[:, 0] for f in found])
    differences = scores[True] - scores[False]
    assert (differences > 1e-4).sum() > 2 * (differences < -1e-4).sum() > 0


def test_a_beam_of_one_goes_on_after_an_end_only_if_a_penalty_favors_it():
    run = search(1, 1, True)
    num_longer = 0
    for seed in range(7):
        model = random_model(seed, BATCH, VOCAB, eos_logit=1.0)
        found = {alpha: run(model, table_of("power", alpha), LIMITS) for alpha in (0.0, 2.0)}
        for example, limit in enumerate(LIMITS.tolist()):
            greedy = beam_search_to_the_limit(model, example, limit, 1, 1, lambda length: 1)
            assert outputs(found[0.0], example) == greedy
            num_longer += len(outputs(found[2.0], example)[0]) > len(greedy[0])
    assert num_longer > 0


def test_a_refilled_beam_as_wide_as_the_tree_finds_all():
    limits = jnp.array([4, 3])
    run = search(31, 7, True)
    for seed, penalty in enumerate(PENALTIES):
        model = random_model(seed, 2, vocab=3, eos_logit=-1.0)
        found = run(model, table_of(*penalty), limits)
        for example, limit in enumerate(limits.tolist()):
            finished = all_finished(3, limit)
            best, score = ranked(model, example, finished, python_penalty_of(*penalty))
            assert outputs(found, example) == best[:7]
            expected = [score[output] for output in best[:7]]
            np.testing.assert_allclose(found.scores[example], expected, rtol=1e-5)


def test_fewer_hypotheses_than_places_leave_the_rest_empty():
    """Two of three tokens ever come, so at most one hypothesis of each length goes on."""
    model = random_model(seed=0, batch=2, vocab=3)
    model = model._replace(table=model.table.at[:, PAD].set(-jnp.inf))
    found = search(31, 7, True)(model, table_of("gnmt", 0.6), jnp.array([2, 3]))
    for example, goes_on in enumerate([(BOS, BOS), (BOS, BOS, BOS)]):
        finished = [(*goes_on[:length], EOS) for length in range(len(goes_on))]
        *first, last, empty = outputs(found, example)[: len(finished) + 2]
        assert sorted(first) == sorted(finished)
        assert (last, empty) == (goes_on, ())
        assert (found.scores[example, len(finished) + 1 :] == -np.inf).all()
    assert not np.isnan(found.scores).any()


def test_an_example_does_not_depend_on_its_batch():
    """Bit for bit: in another order, among others, and with a halving."""
    run, halved = search(5, 5, True), search(5, 5, True, num_halvings=1)
    penalties = table_of("gnmt", 0.6)
    first, reverse = (lambda x: x[0]), (lambda x: x[::-1])
    for seed in range(5):
        model = random_model(seed, BATCH, VOCAB, eos_logit=1.0)
        found = run(model, penalties, LIMITS)
        backwards = run(model._replace(context=model.context[::-1]), penalties, LIMITS[::-1])
        others = model._replace(context=model.context.at[1:].add(11))
        among_others = run(others, penalties, LIMITS.at[1:].set(7))
        for actual, expected in (
            (jax.tree.map(reverse, backwards), found),
            (jax.tree.map(first, among_others), jax.tree.map(first, found)),
            (halved(model, penalties, LIMITS), found),
        ):
            jax.tree.map(np.testing.assert_array_equal, actual, expected)
