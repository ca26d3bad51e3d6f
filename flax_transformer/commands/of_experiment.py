"""The options of commands that train an experiment."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from flax_transformer.experiment import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfExperiment:
    """An experiment file, and options that change what it defines."""

    experiment_file: Positional[Path]
    """Python file that defines `experiment`, such as experiments/number_words.py, or the
    experiment.json of a workdir."""
    preset: str | None = None
    """Named model size in place of the experiment's, with a row of the paper's Table 3 also its
    label smoothing; --model and --task options still change them."""
    convention: str | None = None
    """Settings of paper, t2t, fairseq, flax or opennmt in place of the experiment's and the
    preset's, such as the layout of sinusoids, which also replace any other positional scheme;
    `flax-transformer conventions` shows them, and options still change them."""
    experiment: Annotated[Experiment, arg(name="")] = Experiment()
