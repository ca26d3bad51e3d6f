import itertools

import numpy as np
import pytest
import sacrebleu
from scipy.stats import binomtest

from flax_transformer.evaluation import significance
from flax_transformer.evaluation.significance import compare_decisions, compare_texts, mcnemar


@pytest.mark.parametrize(("first", "second"), list(itertools.product([0, 1, 2, 7, 30], repeat=2)))
def test_mcnemars_test_is_the_binomial_test_of_the_unequal_pairs(first, second):
    number = first + second
    expected = binomtest(first, number, 0.5).pvalue if number else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-12)


def test_mcnemars_test_of_few_pairs_is_a_count_of_all_cases():
    for first, second in ((0, 3), (1, 4), (2, 3)):
        cases = list(itertools.product([0, 1], repeat=first + second))
        far = abs(first - second)
        share = sum(abs(len(case) - 2 * sum(case)) >= far for case in cases) / len(cases)
        assert mcnemar(first, second) == pytest.approx(share, rel=1e-12)


def test_many_unequal_pairs_neither_overflow_nor_vanish():
    assert mcnemar(5_000, 5_000) == 1.0
    assert 0 < mcnemar(4_900, 5_100) < 0.06
    assert mcnemar(0, 2_000) == 0.0


def test_only_unequal_decisions_count():
    first, second = [True, False, False, False], [True, True, True, False]
    few = compare_decisions(first, second)
    assert (few.first, few.second, few.p_value) == (25.0, 75.0, 0.5)
    assert compare_decisions([*first, *[True] * 96], [*second, *[True] * 96]).p_value == 0.5
    assert compare_decisions(second, first) == few._replace(first=75.0, second=25.0)
    with pytest.raises(ValueError, match="no examples"):
        compare_decisions([], [])
    with pytest.raises(ValueError, match="longer than"):
        compare_decisions([True], [True, False])


WORDS = ["a", "dog", "runs", "through", "the", "green", "park", "while", "two", "old", "men"]


def garbled(rng, rate):
    """Texts, and the same texts with some words replaced."""
    texts = [" ".join(rng.choice(WORDS, 13)) for _ in range(31)]
    return texts, [
        " ".join(word if rng.random() > rate else "x" for word in text.split()) for text in texts
    ]


def test_the_bootstrap_of_texts_is_that_of_drawn_corpora(monkeypatch):
    monkeypatch.setattr(significance, "NUM_SAMPLES", 97)
    right, first = garbled(np.random.default_rng(3), 0.3)
    _, second = garbled(np.random.default_rng(3), 0.25)
    found = compare_texts(first, second, right)
    draws = np.random.default_rng(12345).choice(31, (97, 31), replace=True)
    for name, metric in (("bleu", sacrebleu.BLEU()), ("chrf", sacrebleu.CHRF())):

        def score(texts, rows, metric=metric):
            drawn = [texts[row] for row in rows]
            return metric.corpus_score(drawn, [[right[row] for row in rows]]).score

        values = [score(texts, range(31)) for texts in (first, second)]
        assert found[name][:2] == pytest.approx(values)
        gaps = np.array([abs(score(second, rows) - score(first, rows)) for rows in draws])
        beyond = np.sum(gaps - gaps.mean() > abs(values[1] - values[0]))
        assert found[name].p_value == pytest.approx((beyond + 1) / 98)
        signature = found[name].test.split("|")
        assert {"bs:97", "seed:12345", f"version:{sacrebleu.__version__}"} <= set(signature)


def test_a_clear_difference_is_significant_and_none_is_not():
    right, bad = garbled(np.random.default_rng(5), 0.7)
    assert compare_texts(right, bad, right)["bleu"].p_value < 0.01
    same = compare_texts(bad, bad, [(text, text) for text in right])
    assert {test.p_value for test in same.values()} == {1.0}
    with pytest.raises(ValueError, match="30 hypotheses for 31 references"):
        compare_texts(right, bad[:30], right)
