"""JAX's coordination service, which the first process runs: values that all processes can read."""

import json
from typing import Any

import jax

# What the service raises if it has ended, or has no such value in time.
CoordinationError = jax.errors.JaxRuntimeError
_PREFIX = "flax_transformer"
_LONGEST_WAIT = 7 * 24 * 3600  # seconds


def put(place: str, value: Any, *, again: bool = False) -> None:
    """Writes a JSON value; `again` if it may replace another."""
    _client().key_value_set(f"{_PREFIX}/{place}", json.dumps(value), allow_overwrite=again)


def get(place: str, seconds: float = _LONGEST_WAIT) -> Any:
    """Reads a JSON value; waits until it is written.

    Raises:
        CoordinationError: if it is not written in time.
    """
    milliseconds = max(int(1000 * seconds), 1)
    return json.loads(_client().blocking_key_value_get(f"{_PREFIX}/{place}", milliseconds))


def _client() -> Any:
    # Public functions of JAX exchange values by sums over devices, which wait for 30 s only.
    from jax._src import distributed

    return distributed.global_state.client
