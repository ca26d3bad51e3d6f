"""Every function works if JAX does not convert types or add axes by itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strictness import strict
from test_contract import (
    GIVE_FLOATS,
    NAMES,
    TAKE_AND_GIVE_FLOATS,
    call,
    cast,
    draw,
    floats,
    is_float,
)


@pytest.fixture(scope="module", autouse=True)
def compiled_alike(quickly_compiled):
    """Without programs of other files, which may be optimized more and differ in the last bit."""
    jax.clear_caches()


TYPES = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


@TYPES
@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_same_under_strict_promotion(name, dtype):
    arrays = cast(draw(name), dtype)
    expected = call(name, arrays)
    with strict():
        actual = call(name, arrays)
        stacked = jax.tree.map(lambda x: x[None], arrays)
        jax.eval_shape(jax.vmap(lambda arrays: call(name, arrays)), stacked)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@TYPES
@pytest.mark.parametrize("name", TAKE_AND_GIVE_FLOATS)
def test_it_is_differentiated_under_strict_promotion(name, dtype):
    leaves, structure = jax.tree.flatten(cast(draw(name), dtype))

    def of_floats(*inputs: Any) -> Any:
        given = iter(inputs)
        arrays = [next(given) if is_float(x) else x for x in leaves]
        return floats(call(name, structure.unflatten(arrays)))

    @jax.jit
    def gradients(*inputs: Any) -> Any:
        outputs, pull = jax.vjp(of_floats, *inputs)
        return pull(jax.tree.map(jnp.ones_like, outputs))

    expected = gradients(*floats(leaves))
    with strict():
        actual = gradients(*floats(leaves))
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_strictness_is_in_force():
    with strict(), pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)
    with strict(), pytest.raises(Exception, match="strict"):
        jnp.ones(3) + jnp.ones(3, jnp.int32)
    assert GIVE_FLOATS
