"""An epoch of packed sentence pairs, trained by the Flax repository's translation example."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .flax_step import load, make_update
from .size import Size
from .turn import Run, take_turn


def make(batches: str, directory: str, size: Mapping[str, int], **options: Any) -> Run:
    """Compiles the example's step with `flax_step.make_update`; each run is an epoch.

    Args:
        batches: .npz file of the step's inputs; each array holds all updates.
        directory: checkout of the Flax repository.
        size: the fields of `Size`; the batches determine their numbers of rows and tokens.
        options: of `make_update`.
    """
    arrays = dict(np.load(batches))
    num_updates = len(arrays["inputs"])
    update, state = make_update(load(Path(directory)), Size(**size), **options)

    def train(number_of_updates):
        nonlocal state
        for step in range(number_of_updates):
            state, _ = update(state, {name: values[step, None] for name, values in arrays.items()})
        jax.block_until_ready(state)

    # Under pmap the second update compiles again, as the layout of its state is that of a result.
    train(2)
    num_tokens = {side: int(np.count_nonzero(arrays[side])) for side in ("inputs", "targets")}

    def run() -> dict[str, Any]:
        train(num_updates)
        return {
            "target_tokens": num_tokens["targets"],
            "num_updates": num_updates,
            "padding_share": 1 - sum(num_tokens.values()) / (2 * arrays["targets"].size),
        }

    return run


if __name__ == "__main__":
    take_turn(make)
