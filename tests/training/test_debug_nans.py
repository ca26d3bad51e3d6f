import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_tasks import pair_batch, translation_task

from flax_transformer.errors import UserError
from flax_transformer.functional import projection
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.modules import multi_head_attention as attention
from flax_transformer.training.durability.explained_errors import debug_nans
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SGD = optax.sgd(0.1)


def sum_of_logarithms(x):
    return jnp.sum(jnp.sin(jnp.log(x)))  # the logarithm


def sum_of_roots(x):
    return 2 * jnp.sum(jnp.where(x > 0, jnp.sqrt(x), 0))  # the root


def line_of(marked: str) -> str:
    """File and number of the line of this file with a comment."""
    lines = inspect.getsource(inspect.getmodule(line_of) or object).splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if line.endswith(f"# {marked}")]
    return f"{__file__}, line {number} ("


def first_nan(function, *arguments) -> str:
    with pytest.raises(UserError) as caught, debug_nans():
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def settings() -> tuple[Any, ...]:
    config: Any = jax.config
    return config.jax_debug_nans, config.jax_traceback_filtering


@pytest.mark.parametrize("transform", [lambda f: f, jax.grad, jax.vmap, jax.value_and_grad])
def test_the_operation_and_its_line_are_named(transform):
    x = jnp.full((3, 5) if transform is jax.vmap else 7, -1.0)
    message = first_nan(jax.jit(transform(sum_of_logarithms)), x)
    assert message.startswith(f"the first NaN came out of log in {line_of('the logarithm')}")
    assert "--optimizer.clip-norm" in message


def test_a_nan_of_the_gradient_alone_is_traced_to_the_forward_pass():
    message = first_nan(jax.jit(jax.value_and_grad(sum_of_roots)), jnp.zeros(7))
    assert message.startswith(
        f"the first NaN came out of mul in the gradient of {line_of('the root')}"
    )


def test_a_loop_is_compiled_whole_and_the_message_says_what_to_do():
    def loop(x):
        return jax.lax.scan(lambda carry, row: (carry + sum_of_logarithms(row), None), 0.0, x)[0]

    message = first_nan(jax.jit(loop), jnp.full((3, 5), -1.0))
    assert message.startswith(f"the first NaN came out of scan in {__file__}, line ")
    assert "--training.accumulate-steps 1 and --model.no-scan-layers" in message


def test_donated_arguments_are_kept():
    both = jax.jit(lambda state, x: (state + 1, sum_of_logarithms(state * x)), donate_argnums=0)
    state = jnp.ones(7)
    assert "came out of log in" in first_nan(both, state, -jnp.ones(7))
    assert not state.is_deleted()


def test_settings_are_restored_and_other_errors_pass():
    before = settings()
    first_nan(jax.jit(sum_of_logarithms), -jnp.ones(7))
    assert settings() == before
    with debug_nans():
        assert settings() == (True, "off")
        jax.jit(sum_of_logarithms)(jnp.ones(7))
    assert settings() == before
    with pytest.raises(ZeroDivisionError, match="not of JAX"), debug_nans():
        raise ZeroDivisionError("not of JAX")
    assert settings() == before
    assert jnp.isnan(jax.jit(sum_of_logarithms)(-jnp.ones(7)))


@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_parameter_that_is_infinite_is_found_in_the_model(num_devices):
    config = EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=6, d_ff=11, num_heads=2
    )
    task = translation_task(config, 13)
    variables = jax.tree.map(np.array, task.init(jax.random.key(0)))
    variables["params"]["decoder_0"]["cross_attention"]["key"]["kernel"][...] = np.inf
    devices = choose_devices(devices=jax.devices()[:num_devices])
    step = make_train_step(task.loss, SGD, max_skipped=1, axis_name=devices.axis_name)
    state = devices.place(init_state(variables, SGD))
    sides = np.full((4, 3), 5, np.int32), np.full((4, 5), 7, np.int32)
    batch = devices.share(pair_batch(*sides))
    message = first_nan(devices.compile(step), state, batch, jax.random.key(1))
    name = "dot_general" if num_devices == 1 else "an operation that JAX does not name"
    assert message.startswith(f"the first NaN came out of {name} in {projection.__file__}, line ")
    assert f", called by {attention.__file__}, line " in message
    assert "self.key(inputs)" in message
