"""Scores of texts and of token counts, with the signatures needed to compare them."""

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import sacrebleu

References = Sequence[str] | Sequence[Sequence[str]]
"""One reference text for each hypothesis, or the same number of texts for each."""


class Score(NamedTuple):
    """A score and how it was computed.

    Attributes:
        name: of the score.
        value: in the unit of its metric.
        signature: sacreBLEU's, with its version; None for scores without variants.
    """

    name: str
    value: float
    signature: str | None = None


def bleu(hypotheses: Sequence[str], references: References, *, tokenize: str = "13a") -> Score:
    """Computes corpus BLEU with one or several references for each hypothesis.

    BLEU = 100 min(1, exp(1 - r / h)) (p_1 p_2 p_3 p_4)^(1/4), with r, h the lengths of references
    and hypotheses and p_n the precision of n-grams, over the whole corpus

    Args:
        hypotheses: output texts.
        references: right texts, in the same order; see `References`.
        tokenize: sacreBLEU's name of a tokenizer: "13a" for plain text with spaces between words,
            "none" for tokenized text; see `choose_tokenizer`.

    Returns:
        The score with sacreBLEU's signature.

    Raises:
        ValueError: if the numbers of texts differ or are zero.

    Example:
        >>> bleu(["The house is very small."], ["The house is very small."]).value
        100.0

    Reference: Papineni et al. 2002, BLEU; Post 2018, A Call for Clarity in Reporting BLEU Scores.
    """
    streams = text_streams(hypotheses, references)
    # sacreBLEU warns about tokenized text, but "none" is for tokenized text.
    metric = sacrebleu.BLEU(tokenize=tokenize, force=tokenize == "none")
    value = metric.corpus_score(hypotheses, streams).score
    return Score("bleu", min(value, 100.0), str(metric.get_signature()))


def chrf(hypotheses: Sequence[str], references: References) -> Score:
    """Computes corpus chrF2: F-score of character n-grams up to 6, with double weight on recall.

    Args:
        hypotheses: output texts.
        references: right texts, in the same order; see `References`.

    Returns:
        The score with sacreBLEU's signature.

    Raises:
        ValueError: if the numbers of texts differ or are zero.

    Example:
        >>> chrf(["zwanzig"], ["zwanzig"]).value
        100.0

    Reference: Popovic 2015, chrF: character n-gram F-score for automatic MT evaluation.
    """
    streams = text_streams(hypotheses, references)
    metric = sacrebleu.CHRF()
    value = metric.corpus_score(hypotheses, streams).score
    return Score("chrf", value, str(metric.get_signature()))


def exact_match(hypotheses: Sequence[str], references: References) -> Score:
    """Computes the share of hypotheses that exactly equal a reference.

    Texts are compared in Unicode's normal form C, so é as one code point equals e with an accent.

    Args:
        hypotheses: output texts.
        references: right texts, in the same order; see `References`.

    Returns:
        The score in percent.

    Raises:
        ValueError: if the numbers of texts differ or are zero.

    Example:
        >>> exact_match(["eins", "zwei"], ["eins", "Zwei"]).value
        50.0
    """
    streams = text_streams(hypotheses, references)
    outputs, *wanted = (
        [unicodedata.normalize("NFC", text) for text in side] for side in (hypotheses, *streams)
    )
    num_equal = sum(output in texts for output, *texts in zip(outputs, *wanted, strict=True))
    return Score("exact_match", 100 * num_equal / len(references))


def token_accuracy(num_correct: int | float, num_targets: int | float) -> Score:
    """Computes the share of target tokens that were the most probable, given the true prefix.

    Args:
        num_correct: number of correctly predicted tokens.
        num_targets: number of tokens without padding.

    Returns:
        The score in percent.

    Raises:
        ValueError: if num_targets is not above 0.

    Example:
        >>> token_accuracy(3, 4).value
        75.0
    """
    return Score("token_accuracy", mean(100 * num_correct, num_targets))


def perplexity(loss_sum: int | float, num_targets: int | float) -> Score:
    """Computes the exponential of the mean negative log-likelihood of a token.

    perplexity = exp(loss_sum / num_targets)

    Args:
        loss_sum: negative log-likelihood of all tokens in nats, without label smoothing.
        num_targets: number of tokens without padding.

    Returns:
        The perplexity, at least 1 for probabilities; infinite if the exponential overflows.

    Raises:
        ValueError: if num_targets is not above 0.

    Example:
        >>> round(perplexity(3 * math.log(7), 3).value, 6)
        7.0
    """
    loss = mean(loss_sum, num_targets)
    try:
        return Score("perplexity", math.exp(loss))
    except OverflowError:
        return Score("perplexity", math.inf)


def mean_loss(loss_sum: int | float, num_targets: int | float) -> Score:
    """Computes the mean negative log-likelihood of a token in nats.

    Args:
        loss_sum: negative log-likelihood of all tokens in nats, without label smoothing.
        num_targets: number of tokens without padding.

    Returns:
        The loss, the logarithm of the perplexity.

    Raises:
        ValueError: if num_targets is not above 0.

    Example:
        >>> mean_loss(6, 4).value
        1.5
    """
    return Score("loss", mean(loss_sum, num_targets))


def bits_per_byte(loss_sum: int | float, num_bytes: int | float) -> Score:
    """Computes the negative log-likelihood of a text per byte: comparable between tokenizers.

    bits = loss_sum / (ln 2 num_bytes)

    Args:
        loss_sum: negative log-likelihood of all tokens in nats.
        num_bytes: length of the text in bytes of UTF-8.

    Returns:
        The bits.

    Raises:
        ValueError: if num_bytes is not above 0.

    Example:
        >>> round(bits_per_byte(3 * math.log(2), 4).value, 6)
        0.75
    """
    return Score("bits_per_byte", mean(loss_sum, math.log(2) * num_bytes))


def text_streams(hypotheses: Sequence[str], references: References) -> list[Sequence[str]]:
    """Returns the first references of all hypotheses, the second references, and so on.

    Raises:
        ValueError: if the numbers of texts differ or are zero.

    Example:
        >>> text_streams(["a", "b"], [("one", "1"), ("two", "2")])
        [('one', 'two'), ('1', '2')]
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    if not references:
        raise ValueError("no texts to score: 0 hypotheses and 0 references")
    several = [[texts] if isinstance(texts, str) else texts for texts in references]
    return list(zip(*several, strict=True))


def mean(total: int | float, number: int | float) -> float:
    """Computes a mean from a sum.

    Raises:
        ValueError: if the divisor is not above 0.
    """
    if not number > 0:
        raise ValueError(f"a mean needs a number above 0 to divide by, not {number}")
    return total / number
