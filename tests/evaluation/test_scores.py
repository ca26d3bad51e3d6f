import math
from collections import Counter

import numpy as np
import pytest
import sacrebleu

from flax_transformer.evaluation.metric import compute_scores, metrics_of
from flax_transformer.evaluation.scores import (
    bleu,
    chrf,
    exact_match,
    perplexity,
    token_accuracy,
)

pytestmark = pytest.mark.platforms

TEXTS = ["a man is riding a brown horse .", "two dogs run through the deep snow .", "no"]
OUTPUTS = ["a man is riding the horse .", "two dogs run through the snow", "no"]
CORPUS_SCORES = [bleu, chrf, exact_match]


def ngrams(text: str, n: int) -> Counter:
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def corpus_bleu(outputs, references) -> float:
    """Papineni et al. 2002, section 2.3, on words between spaces."""
    log_precision = 0.0
    for n in range(1, 5):
        pairs = [(ngrams(o, n), ngrams(r, n)) for o, r in zip(outputs, references, strict=True)]
        num_matches = sum((output & reference).total() for output, reference in pairs)
        log_precision += math.log(num_matches / sum(output.total() for output, _ in pairs)) / 4
    lengths = [sum(len(text.split()) for text in texts) for texts in (outputs, references)]
    return 100 * min(1.0, math.exp(1 - lengths[1] / lengths[0])) * math.exp(log_precision)


def test_bleu_is_the_formula_of_the_paper():
    score = bleu(OUTPUTS, TEXTS, tokenize="none").value
    assert score == pytest.approx(corpus_bleu(OUTPUTS, TEXTS), rel=1e-9)
    assert 0 < score < 100


@pytest.mark.parametrize("score", CORPUS_SCORES)
def test_equal_texts_score_one_hundred_and_others_less(score):
    assert score(TEXTS, TEXTS).value == pytest.approx(100)
    assert score(OUTPUTS, TEXTS).value < 100


def test_bleu_counts_over_the_corpus_not_over_sentences():
    assert bleu(["no"], ["no"], tokenize="none").value < 100  # no 4-gram in one word
    assert bleu(TEXTS, TEXTS, tokenize="none").value == pytest.approx(100)


def test_case_and_tokens_count_as_the_signature_says():
    upper = [text.upper() for text in TEXTS]
    assert bleu(upper, TEXTS).value < 10  # nothing but the full stops is equal
    joined, apart = [text.replace(" .", ".") for text in TEXTS], TEXTS
    assert bleu(joined, apart, tokenize="13a").value == pytest.approx(100)
    assert bleu(joined, apart, tokenize="none").value < 100


@pytest.mark.parametrize("tokenize", ["13a", "none"])
def test_the_signature_names_what_changes_the_score(tokenize):
    signature = bleu(OUTPUTS, TEXTS, tokenize=tokenize).signature
    parts = (signature or "").split("|")
    assert {f"tok:{tokenize}", "case:mixed", f"version:{sacrebleu.__version__}"} <= set(parts)


def test_exact_match_compares_whole_texts():
    outputs = ["eins", "zwei ", "Drei", "vier"]
    assert exact_match(outputs, ["eins", "zwei", "drei", "vier"]).value == 50
    assert exact_match(outputs, ["eins", "zwei", "drei", "vier"]).signature is None


@pytest.mark.parametrize("tokenize", ["none", "13a", "char"])
def test_translations_get_every_score_by_its_name(tokenize):
    texts = {"hypotheses": OUTPUTS, "references": TEXTS, "tokenize": tokenize}
    scores = compute_scores(metrics_of("hypotheses"), **texts)
    assert scores == {
        "bleu": bleu(OUTPUTS, TEXTS, tokenize=tokenize),
        "chrf": chrf(OUTPUTS, TEXTS),
        "exact_match": exact_match(OUTPUTS, TEXTS),
    }
    assert all(name == score.name for name, score in scores.items())


@pytest.mark.parametrize("score", CORPUS_SCORES)
def test_texts_that_do_not_pair_are_refused(score):
    with pytest.raises(ValueError, match="2 hypotheses for 3 references"):
        score(OUTPUTS[:2], TEXTS)
    with pytest.raises(ValueError, match="no texts to score"):
        score([], [])


def test_perplexity_is_the_inverse_geometric_mean_of_the_probabilities():
    probs = np.random.default_rng(0).uniform(0.01, 1, 13)
    value = perplexity(float(-np.log(probs).sum()), 13).value
    assert value == pytest.approx(1 / np.prod(probs) ** (1 / 13))
    assert perplexity(1e6, 1).value == math.inf


def test_token_accuracy_is_in_percent():
    assert token_accuracy(3, 8).value == 37.5


@pytest.mark.parametrize("score", [perplexity, token_accuracy])
@pytest.mark.parametrize("num_tokens", [0, -1, math.nan])
def test_a_score_of_no_token_is_refused(score, num_tokens):
    with pytest.raises(ValueError, match=f"above 0 to divide by, not {num_tokens}"):
        score(1.0, num_tokens)
