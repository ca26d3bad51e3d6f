"""Our training step as a contender, the same as in `flax-transformer train`."""

from collections.abc import Mapping
from typing import Any

import jax
from contenders import model_config
from our_turn import take_our_turn
from peers.size import Size
from peers.turn import Run
from work import training_step

from flax_transformer.modules.layer_options import ComputeType


def make(size: Mapping[str, Any], dtype: ComputeType) -> Run:
    """Compiles the step; a run reports its floating-point operations."""
    sizes = Size(**size)
    config = model_config(sizes, dtype)
    work = training_step(config, sizes.vocab_size, sizes.num_pairs, sizes.length)

    def run() -> dict[str, Any]:
        jax.block_until_ready(work.run())
        return {"flops": work.flops}

    return run


if __name__ == "__main__":
    take_our_turn(make)
