"""Measures whether memory grows during a long training and a long use of its model.

    python experiments/benchmarks/memory_growth.py

Trains a small model on number words for 2,000 updates with evaluations and checkpoints. Then it
translates 5,000 numbers one by one in one process, like a service. The memory is the resident set
of the process. Its growth is the slope of a straight line through the second half of the
measurements, when everything has been compiled. Requires Linux, and takes some minutes.
"""

import dataclasses
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from circumstances import circumstances, describe, tell
from rich.console import Console

from flax_transformer.cli import execute
from flax_transformer.console import say
from flax_transformer.data.datasets.datasets import read_pairs
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.errors import UserError, check_options
from flax_transformer.experiment import Experiment
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.training.assemble import load
from flax_transformer.training.loop import train
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig

MEBIBYTE = 2**20
SECONDS_BETWEEN = 0.2
STATUS = Path("/proc/self/status")


@dataclasses.dataclass(frozen=True)
class MemoryGrowth:
    """Measure how the memory of a long training and of a long use of its model grows."""

    num_steps: int = 2000
    """Updates of the training."""
    num_sentences: int = 5000
    """Numbers translated, one by one."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        check_options(self, "num_steps", "num_sentences", lowest=8)
        if not STATUS.exists():
            raise UserError(f"no {STATUS}, which shows the memory of a process: use Linux")

    def run(self) -> None:
        """Measures and prints."""
        with tempfile.TemporaryDirectory() as folder:
            figures = self.measure(Path(folder))
        if self.json:
            made_on = {"command": sys.argv, **circumstances()}
            print(json.dumps({**made_on, **figures}))
            return
        console = Console()
        say(console, describe())
        for name, unit, number in (
            ("training", "updates", self.num_steps),
            ("translating", "sentences", self.num_sentences),
        ):
            held = figures[name]
            say(
                console,
                f"{name}, {number:,} {unit}: {held['middle']:,.1f} MiB in the middle, "
                f"{held['end']:,.1f} at the end; growth in the second half "
                f"{held['growth']:+.2f} MiB per 1,000 {unit}",
            )

    def measure(self, folder: Path) -> dict[str, Any]:
        """The memory of both, in MiB."""
        tell(f"training for {self.num_steps:,} updates")
        experiment = _experiment(folder, self.num_steps)
        workdir = folder / "run"
        trained = _sampled(lambda: train(experiment, workdir, Console(quiet=True)))
        tell(f"translating {self.num_sentences:,} numbers")
        translator = load(workdir)
        sources = [pair.source for pair in read_pairs(experiment.data, "test")]
        held = []
        for number in range(self.num_sentences):
            translator.translate(sources[number % len(sources)])
            held.append(resident())
        return {
            "training": growth(trained, self.num_steps),
            "translating": growth(held, self.num_sentences),
        }


def growth(held: list[float], total: int) -> dict[str, float]:
    """Computes the memory in the middle and at the end, and its growth in the second half.

    Args:
        held: MiB, at equal intervals.
        total: number of updates or translations meanwhile; growth is per 1,000 of them.
    """
    second = np.array(held[len(held) // 2 :])
    done = np.linspace(0.5 * total, total, len(second)) / 1000
    slope = np.polyfit(done, second, 1)[0] if len(second) > 1 else 0.0
    return {"middle": float(second[0]), "end": float(second[-1]), "growth": float(slope)}


def resident() -> float:
    """The resident memory of this process in MiB."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / MEBIBYTE


def _sampled(work: Callable[[], object]) -> list[float]:
    """Runs some work, and measures the memory meanwhile."""
    held, is_done = [], threading.Event()

    def sample() -> None:
        while not is_done.wait(SECONDS_BETWEEN):
            held.append(resident())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        work()
    finally:
        is_done.set()
        sampler.join()
    return [*held, resident()]


def _experiment(folder: Path, num_steps: int) -> Experiment:
    """A small experiment with all parts of a training: four evaluations, sixteen checkpoints."""
    return Experiment(
        data=ParallelTextConfig(
            dataset="number_words",
            data_dir=str(folder / "data"),
            train_split="train[:2000]",
            validation_split="validation[:20]",
            vocab_size=300,
            tokens_per_batch=1000,
        ),
        model=EncoderDecoderConfig(
            num_encoder_layers=1, num_decoder_layers=1, d_model=64, d_ff=128, num_heads=4
        ),
        optimizer=OptimizerConfig("constant", 0.001, warmup_steps=100),
        training=TrainingConfig(
            num_steps=num_steps,
            evaluate_every_steps=num_steps // 4,
            checkpoint_every_steps=max(num_steps // 16, 1),
            best_score="exact_match",
        ),
    )


if __name__ == "__main__":
    execute(MemoryGrowth, sys.argv[1:])
