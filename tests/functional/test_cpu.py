import jax
import jax.numpy as jnp
import pytest
from flax_transformer.functional.kernels.cpu import computed_once


@pytest.mark.parametrize(("backend", "is_kept"), [("cpu", True), ("gpu", False), ("tpu", False)])
def test_a_cpu_alone_is_kept_from_computing_an_array_again(monkeypatch, backend, is_kept):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    program = jax.jit(lambda x: computed_once(x + 1)).lower(jnp.ones(3)).as_text()
    assert ("optimization_barrier" in program) == is_kept
