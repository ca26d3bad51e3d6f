"""Pairs whose sides are swapped, found by the spelling of the two languages."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from flax_transformer.data.checks.findings import WARNING, Kind

SWAPPED = Kind(
    "swapped_sides",
    WARNING,
    "sides that fit better the other way round, by their spelling",
    "swap the sides of these pairs, or the two files",
    serious_share=0.05,
)
NUM_CELLS = 2**16
PRIOR = 0.5  # added to each count
LEAST_TOTAL, LEAST_MEAN = 10.0, 0.2  # nats of a pair, and of each of its trigrams
LEAST_MEDIAN = 0.5  # nats; less in most pairs: the languages are not told apart

_Weights = Float[np.ndarray, " cells"]


def learn_spelling(sources: Sequence[str], targets: Sequence[str]) -> _Weights:
    """Learns how much each group of three characters speaks for the source language.

    w[g] = log p(g | source) - log p(g | target), p(g | side) = (n[g] + 1/2) / sum_h (n[h] + 1/2)

    with n the counts of the side. Most pairs must have the right order: the weights are learned
    from the pairs themselves.

    Args:
        sources: some sources.
        targets: their targets.

    Returns:
        The weights in nats; groups share cells by a hash.
    """
    shares = []
    for texts in (sources, targets):
        counts = np.bincount(_cells(texts), minlength=NUM_CELLS) + PRIOR
        shares.append(np.log(counts / counts.sum()))
    return shares[0] - shares[1]


def order_evidence(
    weights: _Weights, sources: Sequence[str], targets: Sequence[str]
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Computes how much the spelling of pairs speaks for their order.

    e = sum_(g in source) w[g] - sum_(g in target) w[g]

    Args:
        weights: see `learn_spelling`.
        sources: of the pairs.
        targets: of the pairs.

    Returns:
        e in nats, and e divided by the number of groups. Neighboring groups are not independent,
        so e is not a probability.

    Example:
        >>> weights = learn_spelling(["the cat", "the dog"] * 9, ["die katze", "der hund"] * 9)
        >>> (evidence, _) = order_evidence(weights, ["the hat", "der hut"], ["der hut", "the hat"])
        >>> (evidence > 0).tolist()
        [True, False]
    """
    (of_source, first), (of_target, second) = (_sums(weights, side) for side in (sources, targets))
    evidence = of_source - of_target
    return evidence, evidence / (first + second)


def tells_apart(sources: Sequence[str], targets: Sequence[str]) -> bool:
    """Returns whether the spelling of every second pair shows the order of most other pairs."""
    if len(sources) < 2:
        return False
    weights = learn_spelling(sources[::2], targets[::2])
    _, mean = order_evidence(weights, sources[1::2], targets[1::2])
    return float(np.median(mean)) > LEAST_MEDIAN


def find_swapped(
    weights: _Weights, sources: Sequence[str], targets: Sequence[str]
) -> Int[np.ndarray, " found"]:
    """Returns the indices of the pairs whose other order fits clearly better."""
    evidence, mean = order_evidence(weights, sources, targets)
    return np.flatnonzero((evidence < -LEAST_TOTAL) & (mean < -LEAST_MEAN))


def _cells(texts: Sequence[str]) -> Int[np.ndarray, " groups"]:
    """The cells of all groups of three characters of the joined texts, each between spaces."""
    joined = "".join(f" {text} " for text in texts).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(joined, np.uint32).astype(np.uint64)
    groups = codes[:-2] * np.uint64(961) + codes[1:-1] * np.uint64(31) + codes[2:]
    # Multiplicative hashing: the upper bits depend on all characters.
    return (groups * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(48)).astype(np.int64)


def _sums(
    weights: _Weights, texts: Sequence[str]
) -> tuple[Float[np.ndarray, " texts"], Int[np.ndarray, " texts"]]:
    """Sums the weights of the groups within each text; returns the sums and numbers of groups."""
    lengths = np.array([len(text) + 2 for text in texts])
    ends = np.cumsum(lengths)
    of_group = np.append(weights[_cells(texts)], [0.0, 0.0])
    # Groups that reach into the next text.
    of_group[ends - 1] = of_group[ends - 2] = 0.0
    return np.add.reduceat(of_group, ends - lengths), np.maximum(lengths - 2, 1)
