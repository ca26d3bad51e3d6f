import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from brute_force import PENALTIES, penalty_of, python_penalty_of, search_with
from history_model import EOS, HistoryModel, random_model

from flax_transformer.decoding.search_tree import SearchTree, beam_search_tree

VOCAB, BEAM, LIMIT = 7, 3, 5


def record(
    model: HistoryModel, penalty=("gnmt", 0.6), refill: bool = False, **sizes: int
) -> SearchTree:
    return beam_search_tree(
        model.step(),
        model.cache(),
        model.prompt(),
        **{"beam_size": BEAM, "max_length": LIMIT} | sizes,
        length_penalty=penalty_of(*penalty),
        eos_id=EOS,
        refill=refill,
    )


@functools.cache
def search(penalty, refill=False):
    return search_with(penalty_of(*penalty), LIMIT, beam_size=BEAM, refill=refill)


def output(tree: SearchTree, node: int) -> tuple[int, ...]:
    return () if node < 0 else (*output(tree, tree.parents[node]), tree.tokens[node])


@pytest.mark.parametrize(
    ("penalty", "refill"), [*((p, False) for p in PENALTIES), (("power", 1.0), True)]
)
@pytest.mark.parametrize(("seed", "eos_logit"), [(0, 0.0), (1, 3.0), (2, -100.0), (3, 1.0)])
def test_its_best_hypothesis_is_that_of_beam_search(seed, eos_logit, penalty, refill):
    model = random_model(seed, 1, VOCAB, eos_logit)
    tree = record(model, penalty, refill=refill)
    found = search(penalty, refill)(model)
    length = int(found.lengths[0, 0])
    assert output(tree, tree.best) == tuple(found.tokens[0, 0, :length].tolist())
    assert tree.log_probs[tree.best] == pytest.approx(float(found.log_probs[0, 0]), rel=1e-6)
    is_finished = tree.tokens[tree.best] == EOS
    assert is_finished == (eos_logit > -100)
    if is_finished:
        assert tree.scores[tree.best] == pytest.approx(float(found.scores[0, 0]), rel=1e-6)


@pytest.mark.parametrize("refill", [False, True])
@pytest.mark.parametrize(("seed", "eos_logit"), [(0, 0.0), (1, 3.0), (2, -100.0)])
def test_each_step_weighs_the_best_continuations_of_what_is_still_live(seed, eos_logit, refill):
    """Against the definition in NumPy: twice a beam is weighed, of which some finish or go on."""
    model = random_model(seed, 1, VOCAB, eos_logit)
    tree = record(model, refill=refill)
    outputs = [output(tree, node) for node in range(len(tree.tokens))]
    live: dict[tuple[int, ...], float] = {(): 0.0}
    for length in range(1, max(map(len, outputs)) + 1):
        continued: dict[tuple[int, ...], float] = {
            (*start, token): log_prob + gained
            for start, log_prob in live.items()
            for token, gained in enumerate(model.log_probs(0, start))
        }
        ranked = sorted(continued, key=lambda c: -continued[c])
        nodes = [node for node, found in enumerate(outputs) if len(found) == length]
        assert [outputs[node] for node in nodes] == ranked[: 2 * BEAM]
        finished = [c for c in ranked[:BEAM] if c[-1] == EOS]
        unfinished = [c for c in ranked[: 2 * BEAM if refill else BEAM] if c[-1] != EOS][:BEAM]
        kept = {*finished, *unfinished}
        assert [tree.is_kept[node] for node in nodes] == [outputs[node] in kept for node in nodes]
        expected = [continued[outputs[node]] for node in nodes]
        np.testing.assert_allclose([tree.log_probs[node] for node in nodes], expected, rtol=1e-4)
        live = {c: continued[c] for c in unfinished}


def test_scores_are_those_of_finished_hypotheses_alone():
    tree = record(random_model(3, 1, VOCAB, 1.0))
    penalty = python_penalty_of("gnmt", 0.6)
    assert any(tree.is_kept[node] != (tree.tokens[node] == EOS) for node in range(len(tree.tokens)))
    for node, score in enumerate(tree.scores):
        if tree.tokens[node] == EOS and tree.is_kept[node]:
            expected = tree.log_probs[node] / penalty(len(output(tree, node)))
            assert score == pytest.approx(expected, rel=1e-5)
        else:
            assert math.isnan(score)


def test_a_vocabulary_smaller_than_the_beam_gives_only_what_there_is():
    tree = record(random_model(0, 1, 3), beam_size=5, max_length=1)
    assert sorted(tree.tokens) == [0, 1, 2]
    assert all(tree.is_kept)


@pytest.mark.parametrize(
    ("batch", "sizes"), [(2, {}), (1, {"beam_size": 0}), (1, {"max_length": 0})]
)
def test_what_cannot_be_recorded_is_refused(batch, sizes, unchecked_types):
    with pytest.raises(ValueError, match=r"must be of one example, beam_size \d and max_length \d"):
        record(random_model(0, batch, VOCAB), **sizes)


def test_a_certain_end_of_sentence_leaves_no_second_step():
    logits = jnp.zeros((97, VOCAB)).at[:, EOS].set(20.0)
    tree = record(HistoryModel(logits, jnp.zeros(1, jnp.int32)))
    assert max(len(output(tree, node)) for node in range(len(tree.tokens))) == 1
