import dataclasses
from typing import Any

import pytest

from flax_transformer.errors import UserError
from flax_transformer.models import EncoderDecoderConfig

CUDNN: dict[str, Any] = {"attention_implementation": "cudnn", "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_encoder_layers": 0}, "--model.num-encoder-layers must be at least 1, not 0"),
        ({"num_decoder_layers": -2}, "--model.num-decoder-layers must be at least 1, not -2"),
        ({"d_model": 0}, "--model.d-model must be at least 1, not 0"),
        ({"d_ff": 0}, "--model.d-ff must be at least 1, not 0"),
        ({"num_heads": 0}, "--model.num-heads must be at least 1, not 0"),
        ({"key_dim": 0}, "--model.key-dim must be at least 1, not 0"),
        ({"value_dim": -1}, "--model.value-dim must be at least 1, not -1"),
        ({"max_positions": 0}, "--model.max-positions must be at least 1, not 0"),
        ({"residual_dropout_rate": 1.0}, r"residual-dropout-rate must be in \[0, 1\), not 1\.0"),
        ({"attention_dropout_rate": -0.1}, r"attention-dropout-rate must be .* not -0\.1"),
        ({"feed_forward_dropout_rate": 2.0}, r"feed-forward-dropout-rate must be .* not 2\.0"),
        (
            {"num_heads": 7},
            "--model.d-model 512 is not a multiple of --model.num-heads 7: change one",
        ),
        (
            {"num_heads": 7, "key_dim": 3},
            "--model.d-model 512 is not a multiple of --model.num-heads 7",
        ),
        ({"positions": "sinusodal"}, "unknown .*'sinusodal': did you mean 'sinusoidal'"),
        ({"norm_placement": "psot"}, "unknown --model.norm-placement 'psot': did you mean 'post'"),
        ({"norm": "leyer"}, "unknown --model.norm 'leyer': did you mean 'layer'"),
        ({"activation": "swigul"}, "unknown --model.activation 'swigul': did you mean 'swiglu'"),
        ({"embedding_scaling": "input"}, "unknown .*scaling 'input': did you mean 'inputs'"),
        ({"attention_implementation": "cudn"}, "unknown .*'cudn': did you mean 'cudnn'"),
        ({"attention_implementation": "cudnn"}, "cudnn computes in bfloat16, not float32: give"),
        (
            CUDNN | {"attention_soft_cap": 3.0},
            r"leave --model.attention-soft-cap 3\.0 out, or choose auto",
        ),
        (
            CUDNN | {"attention_dropout_rate": 0.1},
            "set --model.attention-dropout-rate 0.1 to 0, or",
        ),
        ({"num_key_value_heads": 3}, "num-heads 8 is not a multiple of .*num-key-value-heads 3"),
        ({"num_key_value_heads": 0}, "--model.num-key-value-heads must be at least 1, not 0"),
        ({"attention_window": 0}, "--model.attention-window must be at least 1, not 0"),
        ({"norm_epsilon": 0.0}, r"--model.norm-epsilon must be positive, not 0\.0"),
        ({"norm_epsilon": float("inf")}, "--model.norm-epsilon must be positive, not inf"),
        ({"dtype": "bfloat"}, "unknown --model.dtype 'bfloat': did you mean 'bfloat16'"),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_values_are_refused_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        EncoderDecoderConfig(**settings)
    assert "\n" not in str(error.value)


def test_heads_share_the_width_unless_their_own_is_given():
    config = EncoderDecoderConfig(d_model=21, num_heads=7)
    assert config.head_dims() == (3, 3)
    assert dataclasses.replace(config, key_dim=5).head_dims() == (5, 3)
    assert dataclasses.replace(config, value_dim=2).head_dims() == (3, 2)
    assert EncoderDecoderConfig(num_heads=7, key_dim=5, value_dim=2).head_dims() == (5, 2)


def test_cudnn_attention_in_16_bits_is_accepted():
    assert EncoderDecoderConfig(**CUDNN).attention_implementation == "cudnn"
