"""Compares the training time and the loss of a small language model with nanoGPT's script.

    python experiments/benchmarks/language_model.py --manual-dir DIR --nanogpt CHECKOUT

Both use the setting of nanoGPT's README for a CPU: tinyshakespeare by characters, 4 layers, 4
heads, width 128, pieces of 64 characters, 12 pieces per update, 2,000 updates, no dropout. Ours is
experiments/shakespeare.py, with preparation, compilation, evaluations on the whole validation split
and a final sample. nanoGPT's is its train.py with the options of its README and without its
compiler; it evaluates on 20 random batches every 250 updates. Each runs in its own process, one
after the other. Wall time and processor time are counted from the command to its end. The losses
are not of exactly the same text: nanoGPT's is of 240 random pieces, ours of all.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from circumstances import circumstances, describe, tell
from rich.console import Console

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.errors import UserError, check_options

EXPERIMENT = Path(__file__).parent.parent / "shakespeare.py"
OPTIONS = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64 "
    "--batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --dropout=0.0"
)


class Trained(NamedTuple):
    """Results of one training.

    Attributes:
        loss: of the validation split at the end, in nats per character.
        wall_seconds: from the command to its end.
        processor_seconds: of all its threads.
    """

    loss: float
    wall_seconds: float
    processor_seconds: float


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """Train a small language model of characters, and nanoGPT's for comparison."""

    manual_dir: Path | None = None
    """Folder with tinyshakespeare's input.txt; by default it is downloaded."""
    nanogpt: Path | None = None
    """Checkout of nanoGPT in which data/shakespeare_char/prepare.py has been run."""
    num_steps: int = 2000
    """Updates of each training."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be trained."""
        check_options(self, "num_steps", lowest=100)
        data = self.nanogpt and self.nanogpt / "data" / "shakespeare_char" / "train.bin"
        if data and not data.is_file():
            raise UserError(
                f"no {data}: give --nanogpt a checkout of github.com/karpathy/nanoGPT and run "
                "python data/shakespeare_char/prepare.py in it"
            )

    def run(self) -> None:
        """Prints losses and times."""
        results = {"flax_transformer": self._ours()}
        if self.nanogpt is not None:
            results["nanoGPT"] = self._nanogpt(self.nanogpt)
        if self.json:
            measured = {name: result._asdict() for name, result in results.items()}
            print(json.dumps({"trained": measured, "made_on": circumstances()}, indent=2))
            return
        console = Console()
        say(console, describe())
        rows = {
            name: {
                "validation loss": f"{result.loss:.4f}",
                "wall s": f"{result.wall_seconds:.0f}",
                "processor s": f"{result.processor_seconds:.0f}",
            }
            for name, result in results.items()
        }
        show_table(console, f"tinyshakespeare by characters, {self.num_steps:,} updates", rows)

    def _ours(self) -> Trained:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "flax_transformer", "train", str(EXPERIMENT)]
            command += ["--workdir", f"{folder}/run", "--data.data-dir", f"{folder}/data"]
            if self.manual_dir is not None:
                command += ["--data.manual-dir", str(self.manual_dir)]
            command += [f"--training.num-steps={self.num_steps}"]
            wall, processor, _ = _timed(command, Path.cwd())
            (scores,) = Path(folder, "run", "scores").glob("*.json")
            loss = json.loads(scores.read_text())["scores"]["loss"]["value"]
        return Trained(loss, wall, processor)

    def _nanogpt(self, checkout: Path) -> Trained:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "train.py", "config/train_shakespeare_char.py"]
            command += [*OPTIONS.split(), f"--out_dir={folder}"]
            command += [f"--max_iters={self.num_steps}", f"--lr_decay_iters={self.num_steps}"]
            wall, processor, printed = _timed(command, checkout)
        return Trained(float(re.findall(r"val loss ([\d.]+)", printed)[-1]), wall, processor)


def _timed(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Runs a program that must succeed; gives wall time, processor time and output."""
    tell(" ".join(command))
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"{' '.join(command[:4])} failed ({reason}): run only it to see why")
    processor = after.children_user + after.children_system
    processor -= before.children_user + before.children_system
    return wall, processor, done.stdout


if __name__ == "__main__":
    execute(LanguageModel, sys.argv[1:])
