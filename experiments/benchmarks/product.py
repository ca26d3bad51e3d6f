"""The product of two square matrices as a contender, for the speed that a device can reach."""

from typing import Any

import jax
from our_turn import take_our_turn
from peers.turn import Run
from work import matrix_product


def make(size: int, dtype: str) -> Run:
    """Compiles the product; a run reports its floating-point operations."""
    work = matrix_product(size, dtype)

    def run() -> dict[str, Any]:
        jax.block_until_ready(work.run())
        return {"flops": work.flops}

    return run


if __name__ == "__main__":
    take_our_turn(make)
