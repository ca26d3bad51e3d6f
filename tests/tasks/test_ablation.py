"""A model without a layer, in comparison with one whose layer adds nothing."""

import pytest
from reference import assert_close
from small_models import decoder, translator

from flax_transformer.inspection import At, patched, run_with
from flax_transformer.tasks.ablation import without_layer


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(
    ("make", "stack", "field"),
    [
        (decoder, "decoder", "num_layers"),
        (translator, "encoder", "num_encoder_layers"),
        (translator, "decoder", "num_decoder_layers"),
    ],
)
def test_a_layer_left_out_is_a_pre_norm_layer_that_adds_nothing(make, stack, field, layer):
    small, shorter = (make(norm_placement="pre", **more) for more in ({}, {field: 1}))
    variables = small.draw()
    patch = {f"{stack}.{layer}.*.sublayer_output": 0.0}
    expected = run_with(small.model, variables, small.named(), patch)
    assert_close(shorter.apply(without_layer(variables, stack, layer)), expected, 1e-5)


def test_parts_are_taken_away_one_after_the_other():
    small = translator()
    variables = small.draw()
    first, second = {"encoder.1.*.heads": At(0.0, heads=1)}, {"decoder.0.*.heads": 0.0}
    once = patched(small.model, variables, small.named(), first)
    twice = patched(small.model, once, small.named(), second)
    expected = run_with(small.model, variables, small.named(), {**first, **second})
    assert_close(small.apply(twice), expected, 0.0)
    # Of two changes of one activation, the later counts.
    again = patched(small.model, twice, small.named(), {"encoder.1.*.heads": lambda x: x})
    assert_close(small.apply(again), run_with(small.model, variables, small.named(), second), 0.0)
