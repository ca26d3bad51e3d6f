import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.errors import UserError
from flax_transformer.functional import rms_norm
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.modules import LayerNorm, LayerOptions, MultiHeadAttention

BATCH, LENGTH = 2, 5
OPTIONS = LayerOptions(d_model=7, d_ff=11, num_heads=3, key_dim=13, value_dim=5)


@pytest.fixture
def inputs(normal):
    return normal(BATCH, LENGTH, OPTIONS.d_model)


def attend(attention: Any, x: jax.Array) -> jax.Array:
    return attention(x, attention.keys_values(x))


def attention(**changes: Any) -> MultiHeadAttention:
    return MultiHeadAttention(OPTIONS.of_layer(**changes))


def look(module: MultiHeadAttention, variables: Any, inputs: jax.Array) -> tuple[Any, Any]:
    """The output and the activations of self-attention."""
    output, stored = module.apply(variables, inputs, method=attend, mutable="activations")
    return output, stored["activations"]


def test_every_option_of_a_layer_is_declared_here_and_documented_once():
    """A config of a model may give another default, but no option of its own for a layer."""
    names = [field.name for field in dataclasses.fields(LayerOptions)]
    assert [field.name for field in dataclasses.fields(EncoderDecoderConfig)][: len(names)] == names


def test_options_by_layer_begin_again_after_their_period():
    config = EncoderDecoderConfig(
        attention_window=(4, None), rotary_base=(1e4, 1e5, 1e6), positions=("rotary", "none")
    )
    assert config.period() == 6
    layers = [config.of_layer(i) for i in range(7)]
    assert [layer.attention_window for layer in layers] == [4, None, 4, None, 4, None, 4]
    assert [layer.rotary_base for layer in layers] == [1e4, 1e5, 1e6, 1e4, 1e5, 1e6, 1e4]
    assert [layer.positions for layer in layers][:2] == ["rotary", "none"]
    assert type(layers[0]) is LayerOptions
    assert OPTIONS.period() == 1
    assert OPTIONS.of_layer(3) == OPTIONS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention_window": (4, 0)}, r"^--model.attention-window must be at least 1, not 0$"),
        (
            {"attention_window": ()},
            r"^--model.attention-window is empty: give a value or none at all$",
        ),
        ({"rotary_base": (1e4, -1.0)}, r"^--model.rotary-base must be positive, not -1\.0$"),
        (
            {"positions": ("rotary", "rotery")},
            r"^unknown --model.positions 'rotery': did you mean 'rotary'",
        ),
        (
            {"positions": ("learned", "none")},
            r"^--model.positions learned is added to the embeddings",
        ),
        (
            {"share_position_table": True},
            r"share-position-table needs --model.positions t5 or relative .* not sinusoidal",
        ),
        (
            {"share_position_table": True, "positions": ("t5", "none")},
            r"share-position-table needs --model.positions t5 or relative .* not t5 none",
        ),
        (
            {"attention_norm": (False, True)},
            r"^--model.attention-norm False needs --model.norm-placement pre or both, not post",
        ),
        ({"attention_soft_cap": 0.0}, r"^--model.attention-soft-cap must be positive, not 0\.0$"),
        ({"remat": "dot"}, r"^unknown --model.remat 'dot': did you mean 'dots'\? Known: all"),
        ({"feed_forward": "dence"}, r"^unknown --model.feed-forward 'dence': did you mean 'dense'"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_values_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        LayerOptions(**settings)
    assert "\n" not in str(error.value)


def test_a_scale_of_one_is_the_default_with_a_larger_query(inputs):
    variables = draw_parameters(attention(), inputs, method=attend)
    params = variables["params"]
    larger = params | {"query": {"kernel": params["query"]["kernel"] * 13**0.5}}
    expected = attention().apply({"params": larger}, inputs, method=attend)
    actual = attention(attention_scale=1.0).apply(variables, inputs, method=attend)
    assert_close(actual, expected, 1e-5)


def test_a_soft_cap_bounds_the_scores(inputs):
    variables = draw_parameters(attention(), inputs, method=attend)
    _, plain = look(attention(), variables, inputs)
    output, capped = look(attention(attention_soft_cap=0.5), variables, inputs)
    scores = np.asarray(plain["scores"], np.float64)
    assert_close(capped["scores"], 0.5 * np.tanh(scores / 0.5), 1e-5)
    compiled = jax.jit(
        lambda x: attention(attention_soft_cap=0.5).apply(variables, x, method=attend)
    )(inputs)
    assert_close(compiled, output, 1e-5)


def test_queries_and_keys_are_normalized_with_their_own_epsilon(inputs):
    module = attention(normalize_query_key=True, query_key_norm_epsilon=0.3)
    variables = draw_parameters(module, inputs, method=attend)
    _, seen = look(module, variables, inputs)
    params = variables["params"]
    projected = jnp.einsum("bld,dhk->blhk", inputs, params["key"]["kernel"])
    assert_close(seen["keys"], rms_norm(projected, params["key_scale"], epsilon=0.3), 1e-5)
    assert jnp.abs(seen["keys"] - rms_norm(projected, params["key_scale"])).max() > 1e-2


def test_the_output_projection_may_be_without_the_bias_of_the_others(inputs):
    module = attention(attention_bias=True, attention_output_bias=False)
    params = draw_parameters(module, inputs, method=attend)["params"]
    assert {name for name, layer in params.items() if "bias" in layer} == {"query", "key", "value"}


def test_a_norm_without_a_bias_is_one_whose_bias_is_zero(inputs):
    module = LayerNorm(use_bias=False)
    variables = draw_parameters(module, inputs)
    assert set(variables["params"]) == {"scale"}
    params = variables["params"] | {"bias": jnp.zeros(OPTIONS.d_model)}
    expected = LayerNorm().apply({"params": params}, inputs)
    np.testing.assert_array_equal(module.apply(variables, inputs), expected)
