"""Interleaved timing of contenders, each turn in a new process, as the contender's users run it."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from timing import Spread, spread

from flax_transformer.errors import UserError

FOLDER = Path(__file__).parent
NUM_WARMUPS = 3
# The settings of `flax_transformer.runtime.process`, as variables of glibc and of JAX.
OUR_SETTINGS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_ARENA_MAX": "1",
    "JAX_CPU_ENABLE_ASYNC_DISPATCH": "false",
}
HOW = (
    "contenders take turns, each turn in a new process, as their users run them; "
    '"our settings": again with the memory settings of our commands'
)


class Contender(NamedTuple):
    """A program that takes turns.

    Attributes:
        module: of this folder; it calls `peers.turn.take_turn` when run.
        job: plain data, the only input of the process.
        settings: environment variables, added to the user's.
    """

    module: str
    job: Mapping[str, Any]
    settings: Mapping[str, str] = {}


class Taken(NamedTuple):
    """Measurements of a contender.

    Attributes:
        seconds: of all timed runs of all turns.
        peak_bytes: the largest resident set of a process, as the median of the turns. It includes
            Python, libraries, compiler, parameters and temporary arrays. With an accelerator it is
            the host's memory.
        facts: reported by the last run.
    """

    seconds: list[float]
    peak_bytes: int
    facts: dict[str, Any]

    def spread(self) -> Spread:
        """Median and quartiles of the seconds."""
        return spread(self.seconds)


def in_both_settings(peers: Mapping[str, Contender]) -> dict[str, Contender]:
    """Returns each peer as its users run it, followed by the same with our settings."""
    both = {}
    for name, peer in peers.items():
        both |= {name: peer, f"{name}, our settings": peer._replace(settings=OUR_SETTINGS)}
    return both


def take_turns(
    contenders: Mapping[str, Contender],
    num_turns: int,
    num_repeats: int,
    say: Callable[[str], None],
    num_warmups: int = NUM_WARMUPS,
) -> dict[str, Taken]:
    """Times contenders round by round, each one turn per round, in another order every round.

    Args:
        contenders: by name.
        num_turns: turns of each.
        num_repeats: timed runs of a turn.
        say: prints a line of progress.
        num_warmups: runs of a turn that are not timed.
    """
    names, order = list(contenders), np.random.default_rng(0)
    turns: dict[str, list[Taken]] = {name: [] for name in names}
    for number in range(num_turns):
        for name in order.permutation(names).tolist():
            turn = take_one_turn(contenders[name], num_repeats, num_warmups)
            turns[name].append(turn)
            median = statistics.median(turn.seconds)
            say(f"turn {number + 1}/{num_turns} of {name}: {median:.4g} s a run")
    return {name: _together(taken) for name, taken in turns.items()}


def take_one_turn(contender: Contender, num_repeats: int, num_warmups: int) -> Taken:
    """Runs a contender in a new process.

    Raises:
        UserError: if it fails.
    """
    asked = {"job": contender.job, "num_repeats": num_repeats, "num_warmups": num_warmups}
    done = subprocess.run(
        [sys.executable, "-m", contender.module],
        cwd=FOLDER,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env={**os.environ, **contender.settings},
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{contender.module} failed: {reason.removeprefix('error: ')}")
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


def _together(turns: list[Taken]) -> Taken:
    seconds = [second for turn in turns for second in turn.seconds]
    peak = statistics.median_low(turn.peak_bytes for turn in turns)
    return Taken(seconds, peak, turns[-1].facts)
