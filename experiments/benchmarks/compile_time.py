r"""Times the start of a training until its first step, the first time and the second.

    python experiments/benchmarks/compile_time.py
    python experiments/benchmarks/compile_time.py --experiment experiments/multi30k_en_de.py \
        --manual-dir DIR

Each start is `flax-transformer train` in a new process, timed until it has printed the loss of step
1. The first start has no caches: it prepares the data, trains the tokenizer and compiles. The
second start uses another workdir and the caches of the first: compiled programs in the cache
folder, and tokens next to the prepared data. Programs that it still compiles are counted. The
user's own caches are not used.

Then the training step is compiled for each batch shape without a cache. On two CPU cores, the first
line takes two minutes and the second three.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from circumstances import circumstances, describe, tell
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console
from timing import Spread, spread

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.buckets import Bucket
from flax_transformer.errors import UserError, check_options
from flax_transformer.experiment import Experiment, load_experiment
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.optimizer.optimizer_config import make_optimizer, make_schedule
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step

COMMAND = (sys.executable, "-u", "-c", "from flax_transformer.cli import main; main()", "train")
FIRST_STEP = "step 1/"  # beginning of the line with its loss


@dataclasses.dataclass(frozen=True)
class CompileTime:
    """Time the start of a training without and with caches, and the compilation of its step."""

    experiment: Path = Path(__file__).parents[1] / "number_words.py"
    """Experiment to train."""
    manual_dir: Path | None = None
    """Folder with the data set's files, instead of a download."""
    num_repeats: int = 3
    """Number of repetitions of both starts."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        check_options(self, "num_repeats")

    def run(self) -> None:
        """Measures and prints."""
        result = measure(self)
        if self.json:
            print(json.dumps(as_json(result, self), indent=2))
        else:
            show(result, self)


class Start(NamedTuple):
    """One start of a training.

    Attributes:
        seconds_to_data: until it reported its data; the model's parameters are initialized by then.
        seconds_to_step: until its first step was finished.
        num_compiled: programs that were not in the cache.
    """

    seconds_to_data: float
    seconds_to_step: float
    num_compiled: int


class Shape(NamedTuple):
    """Compilation times of the training step for one batch shape.

    Attributes:
        bucket: the shape.
        trace_seconds: from Python to XLA's input; every start needs this time.
        compile_seconds: XLA's own time; the second start saves it.
    """

    bucket: Bucket
    trace_seconds: float
    compile_seconds: float


class Result(NamedTuple):
    """All measurements.

    Attributes:
        first: starts without caches.
        second: starts with the caches of the first ones.
        shapes: the training step by batch shape.
    """

    first: list[Start]
    second: list[Start]
    shapes: list[Shape]


def measure(options: CompileTime) -> Result:
    """Starts trainings in fresh folders, and compiles the step of each shape."""
    first, second, shapes = [], [], []
    for number in range(options.num_repeats):
        with tempfile.TemporaryDirectory() as folder:
            for name, starts in (("first", first), ("second", second)):
                starts.append(start(options, Path(folder), name))
                seconds = f"{starts[-1].seconds_to_step:.1f} s"
                tell(f"{name} start {number + 1}/{options.num_repeats}: {seconds}")
            if number == options.num_repeats - 1:
                shapes = compile_shapes(load_experiment(options.experiment), options, Path(folder))
    return Result(first, second, shapes)


def start(options: CompileTime, folder: Path, name: str) -> Start:
    """Starts a training with all its files in a folder, and ends it after its first step."""
    caches = folder / "caches"
    before = count_programs(caches)
    manual = [] if options.manual_dir is None else ["--data.manual-dir", str(options.manual_dir)]
    command = [*COMMAND, str(options.experiment), "--workdir", str(folder / name), *manual]
    command += ["--data.data-dir", str(folder / "data"), "--training.log-every-steps", "1"]
    # Drops the settings of the user's caches: JAX and XDG both use this word in their names.
    environment = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    environment |= {"XDG_CACHE_HOME": str(caches)}
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        ready = None
        try:
            for line in process.stdout:
                now = time.perf_counter() - started
                ready = ready or now
                if line.startswith(FIRST_STEP):
                    return Start(ready, now, count_programs(caches) - before)
        finally:
            process.kill()
        errors.seek(0)
        reason = (errors.read().splitlines() or ["it said nothing"])[-1]
    raise UserError(f"{options.experiment} made no step: {reason.removeprefix('error: ')}")


def count_programs(caches: Path) -> int:
    """Counts the compiled programs in the cache."""
    return len(list(caches.rglob("*-cache")))


def compile_shapes(experiment: Experiment, options: CompileTime, folder: Path) -> list[Shape]:
    """Compiles the training step for every batch shape of an experiment.

    Args:
        experiment: to train.
        options: with the folder of its files.
        folder: with the prepared data of its starts.
    """
    manual_dir = options.manual_dir and str(options.manual_dir)
    data = dataclasses.replace(
        experiment.data, manual_dir=manual_dir, data_dir=str(folder / "data")
    )
    experiment = dataclasses.replace(experiment, data=data)
    task = TranslationTask.open(experiment, folder / "first", training=False)
    batches: Any = task.batches(data.train_split)
    optimizer = make_optimizer(
        experiment.optimizer, make_schedule(experiment.optimizer, experiment.model.d_model, 1)
    )
    devices = choose_devices(devices=jax.local_devices()[:1])
    rng = jax.random.key(0)
    state = devices.place(init_state(task.init(rng), optimizer))
    step: Any = devices.compile(make_train_step(task.loss, optimizer, max_skipped=1))
    shapes = []
    with nothing_kept():
        for bucket in batches.buckets:
            tell(f"compiling {bucket.rows} x {bucket.source_length} + {bucket.target_length}")
            times = [time.perf_counter()]
            lowered = step.lower(state, empty_batch(bucket), rng)
            times.append(time.perf_counter())
            lowered.compile()
            times.append(time.perf_counter())
            shapes.append(Shape(bucket, *np.diff(times).tolist()))
    return shapes


def empty_batch(bucket: Bucket) -> Batch:
    """A batch of a shape with arbitrary tokens."""
    lengths = bucket.source_length, bucket.target_length
    source, target = (np.ones((bucket.rows, length), np.int32) for length in lengths)
    return Batch(source, target, source, target)


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """Disables the cache of compiled programs within the context."""
    folder = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
        compilation_cache.reset_cache()


def spreads(starts: list[Start]) -> tuple[Spread, Spread]:
    """Medians and quartiles of the seconds to the data and to the first step."""
    to_data = spread([start.seconds_to_data for start in starts])
    return to_data, spread([start.seconds_to_step for start in starts])


def show(result: Result, options: CompileTime) -> None:
    """Prints the measurements as tables, below a description of the machine."""
    console = Console()
    say(console, describe())
    rows = {}
    for name, starts in (("first start", result.first), ("second start", result.second)):
        to_data, to_step = spreads(starts)
        rows[name] = {
            "s to the data": f"{to_data.median:.1f}",
            "s to the first step": f"{to_step.median:.1f}",
            "spread": f"{to_step.relative():.1%}",
            "compiled": f"{max(start.num_compiled for start in starts)}",
        }
    show_table(console, f"starts of {options.experiment.name}", rows)
    say(console, "compiled: programs that were not kept before; spread: between quartiles")
    shapes = {
        f"{bucket.rows} x {bucket.source_length} + {bucket.target_length}": {
            "s to trace": f"{trace:.1f}",
            "s to compile": f"{compiled:.1f}",
        }
        for bucket, trace, compiled in result.shapes
    }
    show_table(console, "the training step by batch shape, pairs x source + target", shapes)


def as_json(result: Result, options: CompileTime) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    return {
        "command": sys.argv,
        "environment": circumstances(),
        "options": {name: str(value) for name, value in dataclasses.asdict(options).items()},
        **{
            f"{name}_start": {
                "seconds_to_data": spreads(starts)[0]._asdict(),
                "seconds_to_step": spreads(starts)[1]._asdict(),
                "starts": [start._asdict() for start in starts],
            }
            for name, starts in (("first", result.first), ("second", result.second))
        },
        "shapes": [shape._asdict() | {"bucket": shape.bucket._asdict()} for shape in result.shapes],
    }


if __name__ == "__main__":
    execute(CompileTime, sys.argv[1:])
