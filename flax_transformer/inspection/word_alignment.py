"""Words of a source aligned with words of a target by cross-attention."""

from collections.abc import Set as AbstractSet

import numpy as np
from jaxtyping import Float, Int

Links = AbstractSet[tuple[int, int]]


def word_attention(
    weights: Float[np.ndarray, "*layers queries keys"],
    query_words: Int[np.ndarray, " queries"],
    key_words: Int[np.ndarray, " keys"],
) -> Float[np.ndarray, "*layers query_words key_words"]:
    """Computes attention between words from attention between their pieces.

    Attention to a word is the sum over its pieces, attention from a word the mean over its pieces.

    Args:
        weights: of one pair of texts.
        query_words: number of the word of each query, from 0; -1 for marks, which are left out.
        key_words: the same for keys.

    Example:
        >>> weights = np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
        >>> word_attention(weights, np.array([0, 1]), np.array([0, 1, 1])).tolist()
        [[0.5, 0.5], [0.0, 1.0]]

    Reference:
        Clark et al. 2019, "What Does BERT Look At?", section 4.1.
    """
    queries, keys = (np.eye(max(words.max() + 1, 0))[words] for words in (query_words, key_words))
    queries[query_words < 0], keys[key_words < 0] = 0, 0
    return (queries / np.maximum(queries.sum(axis=0), 1)).T @ weights @ keys


def alignment_error_rate(alignment: Links, sure: Links, possible: Links = frozenset()) -> float:
    """Computes the alignment error rate of links between words.

    1 - (|A and S| + |A and P|) / (|A| + |S|),  where P contains S

    Args:
        alignment: pairs (target word, source word) that were found.
        sure: pairs of the gold alignment.
        possible: further pairs of it that may be found or not.

    Returns:
        From 0, all right, to 1.

    Example:
        >>> alignment_error_rate({(0, 0), (1, 2)}, {(0, 0), (1, 1)})
        0.5

    Reference:
        Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models",
        section 4.
    """
    if not alignment and not sure:
        return 0.0
    right = len(alignment & sure) + len(alignment & (sure | possible))
    return 1 - right / (len(alignment) + len(sure))
