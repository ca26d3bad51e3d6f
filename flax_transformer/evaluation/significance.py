"""Whether two systems differ by more than chance, on the same examples."""

from collections.abc import Sequence
from typing import NamedTuple

import sacrebleu
from sacrebleu.significance import PairedTest, Result

from flax_transformer.evaluation.scores import References, text_streams

NUM_SAMPLES = 1_000


class Tested(NamedTuple):
    """A score of two systems, and the test of their difference.

    Attributes:
        first: value of the first system.
        second: value of the second system.
        p_value: probability of such a difference, if the systems are equally good.
        test: name of the test, or the signature of sacreBLEU.
    """

    first: float
    second: float
    p_value: float
    test: str


def mcnemar(num_first: int, num_second: int) -> float:
    """Computes the p-value of McNemar's exact test of two systems that are right or wrong.

    p = min(1, 2 sum_(i <= min(b, c)) (b + c over i) / 2^(b + c))

    Examples for which both are right, or both are wrong, do not matter. Under the hypothesis that
    both are equally good, each of the others is right for the first one with probability 1/2.

    Args:
        num_first: b, the number of examples for which only the first system is right.
        num_second: c, the number of examples for which only the second system is right.

    Returns:
        The two-sided p-value; 1 without such examples.

    Example:
        >>> mcnemar(1, 5), mcnemar(0, 0)
        (0.21875, 1.0)

    Reference:
        McNemar 1947, "Note on the sampling error of the difference between correlated proportions
        or percentages"; Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised
        Classification Learning Algorithms", section 3.1.
    """
    number = num_first + num_second
    total = ways = 1
    for i in range(1, min(num_first, num_second) + 1):
        ways = ways * (number - i + 1) // i
        total += ways
    return min(1.0, 2 * total / 2**number)


def compare_decisions(first: Sequence[bool], second: Sequence[bool]) -> Tested:
    """Compares two systems by whether they are right, with McNemar's exact test; see `mcnemar`.

    Args:
        first: whether the first system is right, for each example.
        second: the same for the second system.

    Returns:
        The shares of right decisions in percent, and the p-value.

    Raises:
        ValueError: without examples, or if the numbers differ.

    Example:
        >>> compare_decisions([True, False], [True, True])[:3]
        (50.0, 100.0, 1.0)
    """
    if not first:
        raise ValueError("no examples to compare")
    pairs = list(zip(first, second, strict=True))
    p_value = mcnemar(pairs.count((True, False)), pairs.count((False, True)))
    share, other_share = (100 * sum(side) / len(pairs) for side in (first, second))
    return Tested(share, other_share, p_value, "McNemar's exact test")


def compare_texts(
    first: Sequence[str], second: Sequence[str], references: References, *, tokenize: str = "13a"
) -> dict[str, Tested]:
    """Compares the outputs of two systems by BLEU and chrF, with sacreBLEU's paired bootstrap.

    The examples are drawn again with replacement, 1,000 times. The p-value is the share of draws in
    which the difference deviates from its mean by more than the difference of all examples. It is 1
    for equal scores, for which sacreBLEU may give 0.001.

    Args:
        first: texts of the first system.
        second: texts of the second system.
        references: right texts, in the same order; see `References`.
        tokenize: as of `bleu`.

    Returns:
        "bleu" and "chrf", each with sacreBLEU's signature, which names the number and the seed of
        the draws.

    Raises:
        ValueError: if the numbers of texts differ or are zero.

    Example:
        >>> texts = ["the house is very small", "a dog runs through the park"]
        >>> found = compare_texts(texts, ["the house", "a park"], texts)
        >>> found["bleu"].first, found["bleu"].second < 50
        (100.0, True)

    Reference:
        Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation"; Post 2018,
        "A Call for Clarity in Reporting BLEU Scores".
    """
    streams = text_streams(first, references)
    text_streams(second, references)
    names = {"BLEU": "bleu", "chrF2": "chrf"}
    metrics = {
        # sacreBLEU warns about tokenized text, but "none" is for tokenized text.
        "BLEU": sacrebleu.BLEU(tokenize=tokenize, force=tokenize == "none"),
        "chrF2": sacrebleu.CHRF(),
    }
    systems = [("first", first), ("second", second)]
    test = PairedTest(systems, metrics, streams, test_type="bs", n_samples=NUM_SAMPLES)
    signatures, results = test()
    found = {}
    for name, ours in names.items():
        one, other = (result for result in results[name] if isinstance(result, Result))
        assert other.p_value is not None
        p_value = 1.0 if one.score == other.score else float(other.p_value)
        signature = f"paired bootstrap, {signatures[name]}"
        values = min(one.score, 100.0), min(other.score, 100.0)
        found[ours] = Tested(*values, p_value, signature)
    return found
