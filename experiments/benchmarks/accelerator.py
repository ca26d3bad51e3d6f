"""Measures an accelerator in its first minutes, and writes one JSON with all figures.

    bash experiments/benchmarks/accelerator.sh --out accelerator.json
    bash experiments/benchmarks/accelerator.sh --out toy.json --toy   # small sizes, for a CPU

The parts, in this order, on one device and in bfloat16:

- device: its kind, memory, driver, and the versions of all libraries.
- training: a training step of the paper's big model (train_step.py). The model FLOP utilization is
  the share of the peak that the maker publishes (peak_flops.py). Other kinds of device have only
  their operations a second.
- decoding greedy, decoding beam 4: the paper's base model (decode.py).
- attention: every implementation, forward and backward, from 32 to 8,192 tokens (attention.py).
- kernels: the tests that every kernel equals its formula.

Every part is a process with a share of the time, at most 8 minutes for all. A part that ends early
leaves the rest of its share to the next ones. The others go on if a part fails or takes too long.
The file is written after every part, always whole. The exit code is 1 if a part is not done.
"""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerator_parts import REPOSITORY, Part, make_parts, training_speed
from circumstances import tell
from limited_process import Ended, run_limited
from rich.console import Console

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.errors import unknown
from flax_transformer.whole_files import check_target, written_whole

NOT_RUN = "not run"


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """Measure an accelerator within 8 minutes, and write one JSON."""

    out: Path
    """File to write."""
    toy: bool = False
    """Small sizes, to try this script; takes about a minute on two CPU cores."""
    only: tuple[str, ...] = ()
    """Parts to run after the device, by their first words; by default all."""

    def __post_init__(self) -> None:
        """Rejects a file that cannot be written, and unknown parts."""
        check_target(self.out, "figures", "--out")
        known = list(dict.fromkeys(name.split()[0] for name in make_parts(self.toy)))[1:]
        for name in self.only:
            if name not in known:
                raise unknown("--only", name, known)

    def run(self) -> None:
        """Measures, writes and prints; ends with exit code 1 if a part is not done."""
        parts = {
            name: part
            for name, part in make_parts(self.toy).items()
            if not self.only or name.split()[0] in ("device", *self.only)
        }
        record = measure(parts, self)
        show(parts, record, self)
        if any(part["status"] != "done" for part in record["parts"].values()):
            sys.exit(1)


def measure(parts: dict[str, Part], options: Accelerator) -> dict[str, Any]:
    """Runs the parts one after the other, and writes the record after each."""
    record: dict[str, Any] = {
        "command": sys.argv,
        "toy": options.toy,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **commit(),
        "device": None,
        "parts": {
            name: {"status": NOT_RUN, "command": part.words, "settings": dict(part.settings)}
            for name, part in parts.items()
        },
    }
    write(record, options.out)
    started, share = time.perf_counter(), 0.0
    for number, (name, part) in enumerate(parts.items(), start=1):
        share += part.seconds
        limit_s = started + share - time.perf_counter()
        tell(f"part {number}/{len(parts)}, {name}, at most {limit_s:.0f} s")
        ended = run_limited(
            part.words,
            limit_s,
            lambda line, name=name: tell(f"{name}: {line}"),
            part.settings,
            REPOSITORY,
        )
        record["parts"][name] |= outcome(part, ended)
        complete(record)
        write(record, options.out)
        tell(f"{name}: {record['parts'][name]['status']}")
    return record


def outcome(part: Part, ended: Ended) -> dict[str, Any]:
    """Describes how a part ended, with what it measured.

    Failing tests are a result too, so the output is read even if the exit code is not 0.
    """
    found: dict[str, Any] = {"status": ended.status, "seconds": ended.seconds}
    reason = ended.reason
    try:
        found["result"] = part.read(ended.printed)
    except ValueError as error:
        if ended.status == "done":
            found["status"], reason = "failed", f"its output cannot be read: {error}"
    if reason:
        found |= {"reason": reason, "last_lines": list(ended.last_lines)}
    return found


def complete(record: dict[str, Any]) -> None:
    """Adds what follows from the results of several parts."""
    results = {name: part["result"] for name, part in record["parts"].items() if "result" in part}
    record["device"] = next((data for name, data in results.items() if name == "device"), None)
    if "training" in results:
        speed = training_speed(results["training"], kind(record))
        record["parts"]["training"]["speed"] = speed


def kind(record: dict[str, Any]) -> str:
    """The kind of the device, from any part that reports it."""
    results = (part.get("result", {}) for part in record["parts"].values())
    described = (data.get("environment", data) for data in results)
    return next((each["device"] for each in described if "device" in each), "unknown")


def commit() -> dict[str, Any]:
    """The commit of this checkout, and whether files differ from it; None without git."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "has_changes": changed and bool(changed)}


def write(record: dict[str, Any], path: Path) -> None:
    """Writes the record, whole or not at all."""
    with written_whole(path) as file:
        file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def show(parts: dict[str, Part], record: dict[str, Any], options: Accelerator) -> None:
    """Prints a line for each part."""
    console = Console()
    rows = {}
    for name, found in record["parts"].items():
        figure = found.get("reason", "")
        if "result" in found:
            figure = parts[name].headline(found["result"], kind(record))
        rows[name] = {
            "status": found["status"],
            "s": f"{found.get('seconds', 0):.0f}",
            "figure": figure,
        }
    title = f"{kind(record)}{', small sizes' if options.toy else ''}"
    show_table(console, title, rows)
    say(console, f"all figures: {options.out}")


def _end(*_: object) -> None:
    """Ends this process, and with it the running part."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    execute(Accelerator, sys.argv[1:])
