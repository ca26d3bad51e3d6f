"""`flax-transformer prepare`."""

import contextlib
import dataclasses
import os
import tempfile
from pathlib import Path

from rich.console import Console

from flax_transformer.commands.train_command import OfExperiment
from flax_transformer.console import say
from flax_transformer.data.datasets.datasets import check_splits, open_split
from flax_transformer.data.files.kept_arrays import FOLDER, only_shard
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.line_batches import Shard, parse_shard
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.checkpoints.initialization import tokenizer_folder
from flax_transformer.training.planning.topology import start_no_accelerator


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare(OfExperiment):
    """Prepare the data of an experiment without training: download, learn the tokenizer, tokenize.

    A training finds what is prepared by a digest of its contents, on this machine or on another one
    with the same --data.data-dir. No accelerator is used.
    """

    shard: str | None = None
    """I/N: tokenize only part I, from 0, of N parts of the texts. N machines with the same
    --data.data-dir share the work; the next command without --shard puts the parts together."""

    def run(self) -> None:
        """Prepares the data, describes an epoch and says where the data are."""
        shard = parse_shard(self.shard)
        start_no_accelerator()
        experiment, data = self.experiment, self.experiment.data
        check_splits(data)
        with contextlib.nullcontext() if shard is None else only_shard(*shard):
            self._prepare(experiment, shard)

    def _prepare(self, experiment: Experiment, shard: Shard | None) -> None:
        data = experiment.data
        source = None if experiment.init_from is None else Path(experiment.init_from)
        with tempfile.TemporaryDirectory(prefix="prepare-") as new_workdir:
            folder = tokenizer_folder(Path(new_workdir), source)
            task = find_task(experiment)[1].open(experiment, folder, training=True)
            batches = task.batches(data.train_split)
        kept = open_split(data, data.train_split).folder / FOLDER
        if kept.exists() and not os.access(kept, os.W_OK):
            raise UserError(
                f"cannot keep prepared data in {kept}: give a folder that can be written to as "
                "--data.data-dir"
            )
        console = Console()
        if shard is not None:
            say(console, f"part {shard.index} of {shard.number} is prepared in {kept.parent}")
            return
        for line in batches.describe("all devices"):
            say(console, line)
        say(console, f"prepared in {kept.parent}")
