"""Activations of whole models: looked at, replaced, and named for policies of rematerialization."""

import functools
import inspect
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from reference import assert_close
from small_models import MODELS, SmallModel, decoder, translator, video, vision

from flax_transformer.models import activations, stack_layers

ATTENTION = {"queries", "keys", "values", "scores", "weights", "heads"}
RESIDUAL = {"sublayer_input", "sublayer_output", "residual"}
pytestmark = pytest.mark.usefixtures("compiled_quickly")


def program(small: SmallModel) -> str:
    """The text of the gradient of a pass as in training."""
    variables: Any = jax.eval_shape(small.init)

    def total(params: Any) -> Any:
        statistics = {name: x for name, x in variables.items() if name != "params"}
        outputs, _ = small.train(params, statistics)
        return outputs.astype(jnp.float32).sum()

    # Without the lines of source code that the compiled program would name.
    return jax.jit(jax.grad(total)).lower(variables["params"]).as_text()


@pytest.mark.parametrize(
    "name",
    ["translator options", "decoder scanned", "encoder tokens", "ViT-B/16", "ViViT-B/16x2"],
)
def test_with_nothing_asked_for_the_program_is_that_without_it(name, monkeypatch):
    observed = program(MODELS[name])
    observers = [
        module
        for path, module in sys.modules.items()
        if path.startswith("flax_transformer.m") and inspect.isfunction(vars(module).get("observe"))
    ]
    assert len(observers) > 6
    for module in observers:
        monkeypatch.setattr(module, "observe", lambda module, name, value: value)
    jax.clear_caches()
    assert program(MODELS[name]) == observed


def look(small: SmallModel, variables: Any) -> dict[str, Any]:
    inputs = small.arrays()
    return activations(small.model, variables, *inputs, **small.segments(*inputs))


def test_every_named_activation_of_a_model_arrives():
    small = translator()
    found = set(look(small, small.draw()))
    connections = {"encoder": ["attention"], "decoder": ["self_attention", "cross_attention"]}
    expected = {"source_embedded", "target_embedded", "logits"}
    for side, attentions in connections.items():
        for layer in (f"{side}_0/", f"{side}_1/"):
            for attention in attentions:
                expected |= {f"{layer}{attention}/{name}" for name in ATTENTION}
                expected |= {f"{layer}{attention}_residual/{name}" for name in RESIDUAL}
            expected |= {f"{layer}feed_forward_residual/{name}" for name in RESIDUAL}
    assert found == expected


@pytest.mark.parametrize("make", [translator, decoder, vision, video])
@pytest.mark.parametrize("remat", ["none", "all"])
def test_scanned_layers_are_looked_at_one_by_one(make, remat):
    small, scanned = make(), make(scan_layers=True, remat=remat)
    variables = small.draw()
    expected = look(small, variables)
    found = look(scanned, stack_layers(variables))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert_close(value, expected[name], 1e-5)


def test_within_a_scan_activations_have_a_leading_axis_of_layers():
    small = decoder(scan_layers=True)
    variables = small.draw()
    _, stored = small.apply(variables, mutable="activations")
    within = flatten_dict(stored["activations"]["decoder"], sep="/")
    one_by_one = look(small, variables)
    for name, value in within.items():
        by_layer = jnp.stack([one_by_one[f"decoder_{i}/{name}"] for i in range(2)])
        assert_close(value, by_layer, 1e-5)


@pytest.mark.parametrize("make", [translator, decoder, vision, video])
def test_an_activation_that_replaces_itself_changes_nothing(make):
    """All of them at once, to the bit: the same operations, one by one."""
    small = make()
    variables = small.draw()
    with jax.disable_jit():
        plain, stored = small.apply(variables, mutable="activations")
        patches = jax.tree.map(
            lambda value: (value, jnp.ones(value.shape, bool)), stored["activations"]
        )
        patched = small.apply(variables | {"patches": patches})
    np.testing.assert_array_equal(patched, plain)


def test_a_head_that_is_replaced_by_zeros_is_a_head_whose_output_projection_is_zero():
    small = decoder()
    variables = small.draw()
    path = ("decoder_1", "self_attention")
    heads = look(small, variables)["/".join((*path, "heads"))]
    selector = jnp.zeros(heads.shape, bool).at[:, :, 1].set(True)
    patches = unflatten_dict({(*path, "heads"): (jnp.zeros_like(heads), selector)})
    found = jax.jit(small.apply)(variables | {"patches": patches})
    params: Any = flatten_dict(variables["params"])
    kernel = params[*path, "output", "kernel"]
    params[*path, "output", "kernel"] = kernel.at[1].set(0.0)
    assert_close(found, small.apply({"params": unflatten_dict(params)}), 1e-5)


def test_what_is_replaced_early_is_seen_later_and_not_before():
    small = decoder()
    variables = small.draw()
    plain = look(small, variables)
    name = "decoder_0/feed_forward_residual/residual"
    patch = (plain[name] + 1.0, jnp.ones(plain[name].shape, bool))
    patches = unflatten_dict({tuple(name.split("/")): patch})
    found = look(small, variables | {"patches": patches})
    np.testing.assert_array_equal(found[name], patch[0])
    changed = {key.partition("/")[0] for key in plain if (found[key] != plain[key]).any()}
    same = [key for key in plain if key.startswith("decoder_0/") and key != name]
    assert all((found[key] == plain[key]).all() for key in same)
    assert {"decoder_1", "logits"} <= changed


@pytest.mark.parametrize("implementation", ["blockwise", "cudnn"])
def test_weights_are_those_of_the_formula_whatever_holds_none(implementation):
    settings = {"dtype": "bfloat16", "attention_dropout_rate": 0.0}
    small = decoder(attention_implementation=implementation, **settings)
    variables = decoder().draw()
    found = look(small, variables)
    expected = look(decoder(**settings), variables)
    for name in ("scores", "weights"):
        path = f"decoder_1/self_attention/{name}"
        np.testing.assert_array_equal(found[path], expected[path])


def kept(policy: Any, **settings: Any) -> int:
    """How many numbers the backward pass of a model is given by the forward pass."""
    small = translator(**settings)
    variables: Any = jax.eval_shape(small.init)

    @functools.partial(jax.checkpoint, policy=policy)
    def total(params: Any) -> Any:
        return jnp.sin(small.apply({"params": params})).sum()

    _, backward = jax.eval_shape(lambda params: jax.vjp(total, params), variables["params"])
    return sum(array.size for array in jax.tree.leaves(backward))


def test_policies_of_rematerialization_keep_what_they_name():
    policies = jax.checkpoint_policies
    nothing, everything = kept(policies.nothing_saveable), kept(policies.everything_saveable)
    residual = kept(policies.save_only_these_names("residual"))
    # 2 layers with 2 connections in the encoder, 2 with 3 in the decoder.
    rows, source, target, d_model = 2, 6, 4, 12
    named = rows * d_model * (2 * 2 * source + 2 * 3 * target)
    # The last ones are kept anyway.
    assert 0.8 * named < residual - nothing <= named
    more = kept(policies.save_only_these_names("residual", "sublayer_output"))
    # All of these hold the parameters, which is all that the first one holds.
    assert nothing < residual < more
    assert more - nothing < (everything - nothing) / 3
