import math

import numpy as np
import pytest
from small import PAIRS

from flax_transformer.data.datasets.split import Pair
from flax_transformer.tasks.translation.translation_scores import Scorer, samples

WRONG = [Pair("twenty two", "drei und vierzig"), Pair("thirty six", "zwei und zwanzig")]


@pytest.fixture
def make_scorer(task, translator):
    return lambda pairs: Scorer(task, translator, pairs, tokenize="13a")


def test_what_is_memorised_is_scored_as_perfect(make_scorer, memorised):
    scored = make_scorer(PAIRS)(memorised)
    assert scored.outputs == [pair.target for pair in PAIRS]
    values = {name: score.value for name, score in scored.scores.items()}
    assert values["exact_match"] == values["chrf"] == values["token_accuracy"] == 100
    assert 1 < values["perplexity"] < 1.06


def test_scores_are_means_over_all_tokens(make_scorer, memorised, tokenizer):
    parts = PAIRS, WRONG
    num_tokens = [sum(len(tokenizer.encode(pair.target)) + 1 for pair in part) for part in parts]
    apart = [make_scorer(part)(memorised).scores for part in parts]
    together = make_scorer([*PAIRS, *WRONG])(memorised).scores
    for name, measure in {"token_accuracy": float, "perplexity": math.log}.items():
        values = [measure(scores[name].value) for scores in apart]
        expected = np.average(values, weights=num_tokens)
        assert measure(together[name].value) == pytest.approx(expected, rel=1e-4)


def test_a_long_reference_is_scored_whole(make_scorer, translator, memorised):
    pairs = [Pair("twenty two", " ".join(["zwei und zwanzig"] * 20))]
    assert len(translator.tokenizer.encode(pairs[0].target)) > translator.max_length
    scores = make_scorer(pairs)(memorised).scores
    assert scores["exact_match"].value == 0
    assert scores["perplexity"].value > 2


def test_samples_show_the_reference_of_what_is_wrong():
    pairs = [Pair("one", "eins"), Pair("two", "zwei"), Pair("x", "y"), Pair("z", "z")]
    shown = samples(pairs, ["eins", "2", "", "z"])
    assert shown == ["  one -> eins", "  two -> 2 (zwei)", "  x ->  (y)"]
