import jax
import jax.numpy as jnp
import pytest

from flax_transformer.functional.kernels import computed_once


@pytest.mark.parametrize(("platform", "is_kept"), [("cpu", True), ("cuda", False), ("tpu", False)])
def test_only_a_cpu_is_kept_from_computing_an_array_again(platform, is_kept):
    traced = jax.jit(lambda x: computed_once(x + 1)).trace(jnp.ones(3))
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("optimization_barrier" in program) == is_kept
