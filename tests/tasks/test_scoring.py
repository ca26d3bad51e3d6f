import math

import numpy as np
import pytest
from small import PAIRS

from flax_transformer.data.parallel_text import Pair
from flax_transformer.tasks.scoring import Scored, Scorer

WRONG = [Pair("twenty two", "drei und vierzig"), Pair("thirty six", "zwei und zwanzig")]


@pytest.fixture
def make_scorer(task, translator):
    return lambda pairs: Scorer(task, translator, pairs, tokenized=False)


def test_what_is_memorised_is_scored_as_perfect(make_scorer, memorised):
    scored = make_scorer(PAIRS)(memorised)
    assert scored.outputs == [pair.target for pair in PAIRS]
    values = {name: score.value for name, score in scored.scores.items()}
    assert values["exact_match"] == values["chrf"] == values["token_accuracy"] == 100
    assert 1 < values["perplexity"] < 1.06


def test_scores_are_means_over_all_pairs(make_scorer, memorised):
    """Accuracy and perplexity are those of all tokens, not a mean of means."""
    together = make_scorer([*PAIRS, *WRONG])(memorised).scores
    apart = [make_scorer(pairs)(memorised).scores for pairs in (PAIRS, WRONG)]
    assert together["exact_match"].value == pytest.approx(100 * len(PAIRS) / (len(PAIRS) + 2))
    nll = [math.log(scores["perplexity"].value) for scores in apart]
    share = (math.log(together["perplexity"].value) - nll[0]) / (nll[1] - nll[0])
    accuracies = [scores["token_accuracy"].value for scores in apart]
    expected = np.average(accuracies, weights=[1 - share, share])
    assert together["token_accuracy"].value == pytest.approx(expected, rel=1e-4)
    assert 0 < share < 0.3


def test_a_long_reference_is_scored_whole(make_scorer, translator, memorised):
    pairs = [Pair("twenty two", " ".join(["zwei und zwanzig"] * 20))]
    assert len(translator.tokenizer.encode(pairs[0].target)) > translator.max_length
    scores = make_scorer(pairs)(memorised).scores
    assert scores["exact_match"].value == 0
    assert scores["perplexity"].value > 2


def test_samples_show_the_reference_of_what_is_wrong():
    scored = Scored(
        {}, [Pair("one", "eins"), Pair("two", "zwei"), Pair("x", "y")], ["eins", "2", ""]
    )
    assert scored.samples(2) == ["  one -> eins", "  two -> 2 (zwei)"]
