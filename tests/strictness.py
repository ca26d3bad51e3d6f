"""JAX's settings under which nothing is converted or broadcast implicitly."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def strict() -> Iterator[None]:
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield
