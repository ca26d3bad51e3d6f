from typing import Any

import jax
import pytest
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.functional import lay_out_unpadded
from flax_transformer.modules import EncoderLayer, LayerOptions, SpaceTimeLayer

BATCH, TIMES, PLACES, D_MODEL = 2, 3, 5, 7
OPTIONS = LayerOptions(num_heads=2, d_model=D_MODEL, d_ff=11, key_dim=13, value_dim=17)


@pytest.fixture
def inputs(normal):
    return normal(BATCH, TIMES * PLACES, D_MODEL)


def apply(module: Any, inputs: Any, variables: Any = None) -> tuple[Any, Any]:
    """With the layouts of space and time; draws the parameters that are not given."""
    by_time = inputs.reshape(BATCH, TIMES, PLACES, D_MODEL)
    space = lay_out_unpadded(by_time.reshape(-1, PLACES, D_MODEL))
    time = lay_out_unpadded(by_time.swapaxes(1, 2).reshape(-1, TIMES, D_MODEL))
    options = {"num_times": TIMES}
    if variables is None:
        variables = draw_parameters(module, inputs, space, time, **options)
    return module.apply(variables, inputs, space, time, **options), variables


def silence(params, name):
    """The parameters with an attention that gives zeros."""
    output = jax.tree.map(lambda x: 0 * x, params[name]["output"])
    return params | {name: params[name] | {"output": output}}


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_without_time_divided_heads_are_an_encoder_layer_of_half_the_heads(inputs, placement):
    """Over each time by itself."""
    module = SpaceTimeLayer(OPTIONS.of_layer(norm_placement=placement), divides_heads=True)
    _, variables = apply(module, inputs)
    params = silence(variables["params"], "time_attention")
    outputs, _ = apply(module, inputs, {"params": params})
    names = ("attention_residual", "feed_forward", "feed_forward_residual")
    of_layer = {"attention": params["space_attention"]} | {name: params[name] for name in names}
    layer = EncoderLayer(OPTIONS.of_layer(num_heads=1, norm_placement=placement))
    by_time = inputs.reshape(-1, PLACES, D_MODEL)
    expected: Any = layer.apply({"params": of_layer}, by_time, lay_out_unpadded(by_time))
    assert_close(outputs.reshape(by_time.shape), expected, 1e-5)


def test_one_attention_after_the_other_reads_what_the_first_made(inputs):
    """In pre-norm without the norm: z = y + time(y) with y = x + space(x)."""
    module = SpaceTimeLayer(OPTIONS.of_layer(norm_placement="pre"))
    outputs, variables = apply(module, inputs)
    params = variables["params"]
    first, _ = apply(module, inputs, {"params": silence(params, "time_attention")})
    kernel = params["feed_forward"]["output"]
    without = params | {
        "feed_forward": params["feed_forward"] | {"output": jax.tree.map(lambda x: 0 * x, kernel)}
    }
    after_space, _ = apply(module, inputs, {"params": silence(without, "time_attention")})
    both, _ = apply(module, inputs, {"params": without})
    then_time, _ = apply(module, after_space, {"params": silence(without, "space_attention")})
    assert_close(both, then_time, 1e-5)
    assert abs(first - outputs).max() > 1e-3


@pytest.mark.parametrize(("heads", "key_value_heads"), [(3, 3), (2, 1)])
def test_heads_that_cannot_be_halved_are_refused(inputs, heads, key_value_heads):
    options = OPTIONS.of_layer(num_heads=heads, num_key_value_heads=key_value_heads)
    with pytest.raises(ValueError, match=f"{heads} and {key_value_heads} heads cannot be halved"):
        apply(SpaceTimeLayer(options, divides_heads=True), inputs)


def test_one_output_bias_serves_both_halves(inputs):
    module = SpaceTimeLayer(OPTIONS.of_layer(attention_bias=True), divides_heads=True)
    _, variables = apply(module, inputs)
    params = variables["params"]
    assert "bias" in params["space_attention"]["output"]
    assert "bias" not in params["time_attention"]["output"]
    assert "bias" in params["time_attention"]["query"]
