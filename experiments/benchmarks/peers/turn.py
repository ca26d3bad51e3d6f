"""One turn of a contender: made, warmed up, run and timed in a new process.

Imports only Python's standard library, so that the process holds only the contender.
"""

import json
import platform
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[], dict[str, Any]]
"""Does the work once until it has finished, and returns plain data about it."""


def take_turn(make: Callable[..., Run]) -> None:
    """Reads a job from standard input, does it, and prints the time of each run as JSON.

    Args:
        make: makes the program; its arguments are the fields of the job.
    """
    asked = json.load(sys.stdin)
    run = make(**asked["job"])
    facts, seconds = {}, []
    for _ in range(asked["num_warmups"] + asked["num_repeats"]):
        started = time.perf_counter()
        facts = run()
        seconds.append(time.perf_counter() - started)
    taken = {
        "seconds": seconds[asked["num_warmups"] :],
        "peak_bytes": peak_bytes(),
        "facts": facts,
    }
    # On a separate line, after any output of the contender.
    print(f"\n{json.dumps(taken)}")


def peak_bytes() -> int:
    """The largest resident set of this process.

    On Linux the maximum of `getrusage` starts with that of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = re.findall(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)
        return int(line) * 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
