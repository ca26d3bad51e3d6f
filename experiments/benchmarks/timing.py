"""Interleaved timing of several programs, so that a busy machine affects all of them."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

NUM_WARMUP_ROUNDS = 2


class Spread(NamedTuple):
    """Median and quartiles of repeated measurements, in seconds.

    Attributes:
        lower: quartile; a quarter of the repeats took at most this time.
        median: half of them did.
        upper: quartile; three quarters of them did.
    """

    lower: float
    median: float
    upper: float

    def relative(self) -> float:
        """The distance between the quartiles as a share of the median."""
        return (self.upper - self.lower) / self.median


def time_in_turns(
    programs: Mapping[str, Callable[[], Any]], num_repeats: int, say: Callable[[str], None]
) -> dict[str, Spread]:
    """Times programs round by round, each once per round, in another order every round.

    Args:
        programs: by name; each returns the arrays that it computes.
        num_repeats: timed rounds, after some that are not timed.
        say: prints a line of progress.

    Returns:
        Each program's median and quartiles.
    """
    names, order = list(programs), np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    started = time.perf_counter()
    for number in range(NUM_WARMUP_ROUNDS + num_repeats):
        for name in order.permutation(names).tolist():
            elapsed = _seconds(programs[name])
            if number >= NUM_WARMUP_ROUNDS:
                seconds[name].append(elapsed)
        done = number + 1
        left = NUM_WARMUP_ROUNDS + num_repeats - done
        kind = "warm-up" if number < NUM_WARMUP_ROUNDS else "timed"
        a_round = (time.perf_counter() - started) / done
        say(f"round {done}/{done + left} ({kind}), about {left * a_round:.0f} s left")
    return {name: spread(measured) for name, measured in seconds.items()}


def _seconds(program: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(program())
    return time.perf_counter() - start


def spread(seconds: list[float]) -> Spread:
    """Computes median and quartiles of repeated measurements."""
    return Spread(*np.quantile(seconds, [0.25, 0.5, 0.75]).tolist())
