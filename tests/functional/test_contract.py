"""What holds for every function of the package: each test is one promise, kept by all of them."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from double_precision import enable_x64
from function_examples import EXAMPLES, Draw
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer import functional

# They give functions, of no arrays.
MAKERS = {"over_heads", "positional_scheme"}
FUNCTIONS: dict[str, Any] = {
    name: getattr(functional, name)
    for name in functional.__all__
    if name not in MAKERS
    and callable(getattr(functional, name))
    and not inspect.isclass(getattr(functional, name))
}


def draw(name: str, seed: int = 0) -> Any:
    """A function's arrays, in JAX's present precision."""
    arrays = EXAMPLES[name].draw(Draw(seed))
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else jnp.asarray(x), arrays)


def call(name: str, arrays: Any, **options: Any) -> Any:
    """Calls a function with its arrays, and its options or others."""
    options = EXAMPLES[name].options | options
    if isinstance(arrays, tuple):
        return FUNCTIONS[name](*arrays, **options)
    return FUNCTIONS[name](**arrays | options)


def is_float(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def floats(tree: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if is_float(x)]


def cast(tree: Any, dtype: Any) -> Any:
    """The same arrays, with those of floating-point numbers in another type."""
    return jax.tree.map(lambda x: x.astype(dtype) if is_float(x) else x, tree)


@functools.cache
def result(name: str) -> Any:
    """What a function makes of its example, in float32."""
    return call(name, draw(name))


def gives_floats(name: str) -> bool:
    return bool(floats(jax.eval_shape(functools.partial(call, name), draw(name))))


NAMES = sorted(EXAMPLES.keys() & FUNCTIONS.keys())
GIVE_FLOATS = [name for name in NAMES if gives_floats(name)]
TAKE_AND_GIVE_FLOATS = [name for name in GIVE_FLOATS if floats(draw(name))]


def test_every_function_has_an_example():
    assert EXAMPLES.keys() == FUNCTIONS.keys()


@pytest.mark.platforms
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_jitted(name):
    assert hasattr(FUNCTIONS[name], "lower")


@pytest.mark.platforms
@pytest.mark.parametrize("name", NAMES)
def test_it_works_under_vmap(name):
    examples = [draw(name, seed) for seed in range(2)]
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *examples)
    mapped = jax.vmap(functools.partial(call, name))(stacked)
    looped = [call(name, arrays) for arrays in examples]
    expected = jax.tree.map(lambda *arrays: jnp.stack(arrays), *looped)
    jax.tree.map(functools.partial(assert_close, tolerance=1e-6), mapped, expected)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", TAKE_AND_GIVE_FLOATS)
def test_its_gradients_are_those_of_finite_differences(name):
    leaves, structure = jax.tree.flatten(draw(name))

    def of_floats(*inputs):
        given = iter(inputs)
        arrays = [next(given) if is_float(x) else x for x in leaves]
        return floats(call(name, structure.unflatten(arrays)))

    # Reverse mode alone: a function with a gradient of its own has no other.
    check_grads(of_floats, floats(leaves), order=1, modes=["rev"])


@pytest.mark.platforms
@pytest.mark.parametrize("name", TAKE_AND_GIVE_FLOATS)
def test_it_takes_bfloat16(name):
    actual = call(name, cast(draw(name), jnp.bfloat16))
    for x, expected in zip(floats(actual), floats(result(name)), strict=True):
        assert x.dtype == EXAMPLES[name].bfloat16_gives
        assert_close(x.astype(jnp.float32), expected, 0.03)


@pytest.mark.platforms
@pytest.mark.parametrize("name", GIVE_FLOATS)
def test_in_double_precision_it_gives_float64_of_float64_and_else_float32(name):
    """Tables made only from ids or places are float32, whatever JAX's default is."""
    expected = result(name)
    with enable_x64(True):
        arrays = draw(name)
        actual = call(name, arrays)
    dtype = jnp.float64 if floats(arrays) else jnp.float32
    for x, y in zip(floats(actual), floats(expected), strict=True):
        assert (x.dtype, y.dtype) == (dtype, jnp.float32)
        assert_close(x, y, 1e-5)


@pytest.mark.parametrize("name", GIVE_FLOATS)
def test_in_double_precision_it_gives_float32_of_float32(name):
    with enable_x64(True):
        actual = call(name, cast(draw(name), jnp.float32))
    assert all(x.dtype == jnp.float32 for x in floats(actual))


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("name", [name for name in NAMES if EXAMPLES[name].message])
def test_it_names_what_it_refuses(name):
    refused, arrays, options = EXAMPLES[name].refused, draw(name), {}
    if isinstance(refused, tuple):
        arrays = jax.tree.map(jnp.asarray, refused)
    else:
        given = {key: x for key, x in refused.items() if key in arrays}
        arrays |= jax.tree.map(jnp.asarray, given)
        options = {key: x for key, x in refused.items() if key not in arrays}
    with pytest.raises(ValueError, match=EXAMPLES[name].message):
        call(name, arrays, **options)
