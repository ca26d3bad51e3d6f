"""Gradients, lens, attributions and noise of models: against passes computed another way."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close
from small_models import decoder, encoder, translator, video, vision

from flax_transformer.inspection import (
    activations,
    attribution_patching,
    gradients,
    logit_attribution,
    logit_lens,
    noise_scale,
    run_with,
)

pytestmark = pytest.mark.usefixtures("compiled_quickly")
LAST = "decoder.1.feed_forward_residual.residual"
SMALL = {
    "translator": translator(),
    "translator, relative": translator(positions="relative", norm_placement="pre"),
    "decoder": decoder(),
    "decoder, both norms": decoder(norm_placement="both", norm="rms", logits_soft_cap=3.0),
    "vision": vision(),
    "video": video(variant="factorized_encoder"),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_parts_of_a_logit_add_up_to_it(name):
    small = SMALL[name]
    variables, inputs = small.draw(), small.named()
    logits = small.apply(variables)
    cap = getattr(small.model.config, "logits_soft_cap", None)
    if cap is not None:
        logits = cap * jnp.arctanh(logits / cap)
    targets, others = (jnp.argmax(sign * logits, axis=-1) for sign in (1, -1))
    split = jax.jit(lambda variables: logit_attribution(
        small.model, variables, inputs, targets, others
    ))  # fmt: skip
    parts = split(variables)
    axes = [-1] if logits.ndim == 3 else [-1, -2]
    total = sum(
        part if part.ndim == targets.ndim else part.sum(tuple(range(targets.ndim, part.ndim)))
        for part in parts.values()
    )
    chosen = [
        jnp.take_along_axis(logits, ids[..., None], axis=-1)[..., 0] for ids in (targets, others)
    ]
    assert_close(total, chosen[0] - chosen[1], 1e-4)
    heads = [part for name, part in parts.items() if name.endswith(".heads")]
    assert heads and all(np.abs(part).max() > 1e-4 for part in heads)
    assert axes


def test_a_part_is_what_is_missing_without_the_head():
    """Of the last layer, whose heads reach the logits directly, with norms that change nothing."""
    small = decoder(norm_placement="pre")
    variables, inputs = small.draw(), small.named()
    targets = jnp.argmax(small.apply(variables), axis=-1)
    parts = logit_attribution(small.model, variables, inputs, targets)
    names = ["*.deviation", "decoder.1.feed_forward_residual.sublayer_output"]
    fixed = activations(small.model, variables, inputs, names)
    name = "decoder.1.self_attention.heads"
    silent = run_with(
        small.model, variables, inputs, fixed | {name: lambda x: x.at[:, :, 1].set(0.0)}
    )
    logits = small.apply(variables)
    missing = jnp.take_along_axis(logits - silent, targets[..., None], axis=-1)[..., 0]
    assert_close(parts[name][..., 1], missing, 1e-4)


def test_heads_of_encoders_cannot_be_split():
    small = encoder("predict_tokens")
    with pytest.raises(ValueError, match="not affine"):
        logit_attribution(small.model, small.draw(), small.named(), jnp.zeros((2, 6), int))


@pytest.mark.parametrize("make", [translator, decoder, vision])
def test_the_last_layer_of_the_lens_is_the_model(make):
    small = make()
    variables = small.draw()
    found = logit_lens(small.model, variables, small.named())
    assert len(found) == 2
    assert_close(found[-1], small.apply(variables), 1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_the_lens_is_a_model_without_its_last_layer():
    small, shorter = decoder(), decoder(num_layers=1)
    variables = small.draw()
    params = {name: x for name, x in variables["params"].items() if name != "decoder_1"}
    found = logit_lens(small.model, variables, small.named())
    assert_close(found[0], shorter.apply({"params": params}), 1e-5)


def test_a_stack_can_be_chosen_and_others_are_refused():
    small = translator()
    variables = small.draw()
    found = logit_lens(small.model, variables, small.named(), stack="encoder")
    assert_close(found[-1], small.apply(variables), 1e-5)
    with pytest.raises(ValueError, match="did you mean 'encoder'"):
        logit_lens(small.model, variables, small.named(), stack="encodr")


def test_gradients_are_differences():
    small = translator()
    variables, inputs = small.draw(), small.named()
    names = ["encoder.0.attention.scores", "decoder.1.feed_forward.post_activation"]

    def metric(logits: Any) -> Any:
        return jnp.tanh(logits[0, :3]).sum()

    found = gradients(small.model, variables, inputs, metric, names)
    for name, slope in found.items():
        direction = np.random.default_rng(0).normal(size=slope.shape).astype(np.float32)
        above, below = (
            metric(
                run_with(
                    small.model, variables, inputs, {name: lambda x, s=s: x + s * 1e-2 * direction}
                )
            )
            for s in (1, -1)
        )
        np.testing.assert_allclose((above - below) / 2e-2, (slope * direction).sum(), rtol=2e-2)


def test_attribution_patching_is_exact_where_the_number_is_linear():
    small = decoder()
    variables, inputs = small.draw(), small.named()
    others = inputs | {"tokens": jnp.roll(inputs["tokens"], 1, axis=0)}

    def metric(logits: Any) -> Any:
        return 3 * logits[0, 2, 5] - logits[1, 1, 4]

    given = (small.model, variables, inputs)
    found = attribution_patching(*given, others, metric, ["logits", LAST])
    carried = activations(small.model, variables, others, ["logits"])
    expected = metric(run_with(*given, carried)) - metric(small.apply(variables))
    assert_close(found["logits"].sum(), expected, 1e-4)
    assert found[LAST].shape == inputs["tokens"].shape


def test_the_noise_scale_is_that_of_known_gradients():
    """Of gradients with mean 2 and deviation 3 a unit, in 7 features."""
    part, number, width = 5.0, 20_000, 7
    draws = np.random.default_rng(0).normal(size=(number, width)) * 3 / part**0.5 + 2
    found = noise_scale({"a": jnp.asarray(draws[:, :3]), "b": jnp.asarray(draws[:, 3:])}, part)
    np.testing.assert_allclose(found.noise, 9 * width, rtol=0.02)
    np.testing.assert_allclose(found.signal, 4 * width, rtol=0.02)
    np.testing.assert_allclose(found.batch, 9 / 4, rtol=0.03)
    with pytest.raises(ValueError, match="at least 2 parts"):
        noise_scale({"a": jnp.ones((1, 3))}, part)
