"""What is measured on the way: one line of JSON each, and the same as TensorBoard curves."""

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO


def _summary_writer() -> type:
    """TensorBoard's writer. Its package imports PyTorch where there is one: two seconds saved."""
    modules: dict[str, Any] = sys.modules
    is_hidden = modules.setdefault("torch", None) is None
    try:
        from tensorboardX import SummaryWriter
    finally:
        if is_hidden:
            del modules["torch"]
    return SummaryWriter


class MetricsWriter:
    """Appends to metrics.jsonl and to TensorBoard's files.

    Args:
        path: of the JSON lines.
        tensorboard: folder of TensorBoard's files.
        step: updates already made; later lines of an interrupted run are dropped, for they will
            be written again.
    """

    def __init__(self, path: Path, tensorboard: Path, step: int):
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines if _step(line) <= step]
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text("".join(kept))
        os.replace(unfinished, path)
        self._lines: TextIO = path.open("a")
        self._curves = _summary_writer()(str(tensorboard), purge_step=step + 1)

    def write(self, step: int, kind: str, values: dict[str, Any]) -> None:
        """Writes one line of metrics of one kind ("train" or a split's name)."""
        self._lines.write(json.dumps({"step": step, "kind": kind} | values) + "\n")
        self._lines.flush()
        for name, value in values.items():
            self._curves.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Writes what is left."""
        self._lines.close()
        self._curves.close()


def _step(line: str) -> float:
    """The step of a line; a line cut off by a crash counts as later than any."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")
