"""Activations of whole models: read, replaced, and named for policies of rematerialization."""

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

from flax_transformer.errors import UserError
from flax_transformer.inspection import At, activation_shapes, activations, run_with
from flax_transformer.inspection.names import axes_of
from flax_transformer.models import stack_layers

ATTENTION = {"queries", "keys", "values", "scores", "weights", "heads"}
RESIDUAL = {"sublayer_input", "sublayer_output", "residual"}
NORM = {"normalize.deviation", "normalize.normalized", "normalize.output"}
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


def look(small: SmallModel, variables: Any, names: Any = "*", **options: Any) -> dict[str, Any]:
    method = {"method": small.method}
    return activations(small.model, variables, small.named(), names, **method, **options)


def change(small: SmallModel, variables: Any, patch: Any) -> Any:
    return run_with(small.model, variables, small.named(), patch, method=small.method)


def test_every_named_activation_of_a_model_arrives():
    small = translator()
    found = set(look(small, small.draw()))
    connections = {"encoder": ["attention"], "decoder": ["self_attention", "cross_attention"]}
    expected = {"logits"}
    for side in ("source", "target"):
        expected |= {f"{side}_token_embedding", f"{side}_embedded", f"{side}_positions.encoding"}
    for side, attentions in connections.items():
        for layer in (f"{side}.0.", f"{side}.1."):
            for attention in attentions:
                expected |= {f"{layer}{attention}.{name}" for name in ATTENTION}
            for sublayer in (*attentions, "feed_forward"):
                expected |= {f"{layer}{sublayer}_residual.{name}" for name in RESIDUAL | NORM}
            expected |= {f"{layer}feed_forward.{x}_activation" for x in ("pre", "post")}
    assert found == expected


def test_shapes_are_known_without_computing():
    small = decoder(scan_layers=True)
    shapes = activation_shapes(small.model, jax.eval_shape(small.init), small.named())
    found = look(small, small.draw())
    assert {name: x.shape for name, x in shapes.items()} == {n: x.shape for n, x in found.items()}


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
    within = flatten_dict(stored["activations"]["decoder"], sep=".")
    one_by_one = look(small, variables)
    for name, value in within.items():
        by_layer = jnp.stack([one_by_one[f"decoder.{i}.{name}"] for i in range(2)])
        assert_close(value, by_layer, 1e-5)


@pytest.mark.parametrize("name", ["translator options", "decoder scanned", "encoder norm batch"])
def test_activations_that_replace_themselves_change_nothing(name):
    """All of them at once in a compiled program; the slow tests try each, of every model."""
    small = MODELS[name]
    variables = small.draw()
    found = jax.jit(lambda variables: look(small, variables))(variables)
    for key, value in found.items():
        assert len(axes_of(key, value.ndim)) == value.ndim
    patched, plain = jax.jit(
        lambda variables, found: (change(small, variables, found), small.apply(variables))
    )(variables, found)
    assert_close(patched, plain, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_each_activation_of_every_model_that_replaces_itself_changes_nothing(name):
    small = MODELS[name]
    variables = small.draw()
    plain = small.apply(variables)
    # "Equal" is defined in float32; 16 bits have two to three digits.
    tolerance = 1e-5 if small.model.config.dtype == "float32" else 2e-2
    for key, value in look(small, variables).items():
        assert_close(change(small, variables, {key: value}), plain, tolerance)


@pytest.mark.parametrize("make", [translator, decoder, vision, video])
def test_activations_that_replace_themselves_change_no_bit(make):
    """All of them at once: the same operations, one by one."""
    small = make()
    variables = small.draw()
    with jax.disable_jit():
        plain, _ = small.apply(variables, mutable="activations")
        found = look(small, variables)
        patched = change(small, variables, found)
    np.testing.assert_array_equal(patched, plain)


def test_only_what_is_asked_for_is_computed():
    small = decoder()
    variables = small.draw()
    names = ["decoder.1.*.sublayer_input", "logits"]
    found = look(small, variables, names)
    assert list(found) == [
        "decoder.1.self_attention_residual.sublayer_input",
        "decoder.1.feed_forward_residual.sublayer_input",
        "logits",
    ]
    whole, part = (
        str(jax.make_jaxpr(lambda variables, names=names: look(small, variables, names))(variables))
        for names in ("*", names)
    )
    # Scores are held by no kernel: the formula is only computed if they are asked for.
    assert "name=scores" in whole
    assert "name=scores" not in part


def test_a_head_replaced_by_zeros_is_a_head_whose_output_projection_is_zero():
    small = decoder()
    variables = small.draw()
    patch = {"decoder.1.self_attention.heads": At(0.0, heads=1)}
    found = jax.jit(lambda variables: change(small, variables, patch))(variables)
    params: Any = flatten_dict(variables["params"])
    path = ("decoder_1", "self_attention", "output", "kernel")
    params[path] = params[path].at[1].set(0.0)
    assert_close(found, small.apply({"params": unflatten_dict(params)}), 1e-5)


def test_one_program_takes_each_head_away():
    small = decoder()
    variables = small.draw()

    def without(head: Any) -> Any:
        return change(small, variables, {"decoder.*.heads": At(0.0, heads=head)})

    found = jax.jit(jax.vmap(without))(jnp.arange(2))
    for head in range(2):
        assert_close(found[head], without(head), 1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-2


def test_functions_numbers_and_arrays_change_activations():
    small = decoder()
    variables = small.draw()
    name = "decoder.0.feed_forward_residual.residual"
    value = look(small, variables)[name]
    expected = change(small, variables, {name: value + 1})
    assert_close(change(small, variables, {name: lambda x: x + 1}), expected, 1e-6)
    vector = value[0, 0]
    steered = change(small, variables, {name: At(lambda x: x + vector, positions=[2, -1])})
    by_hand = value.at[:, jnp.array([2, LAST])].add(vector)
    assert_close(steered, change(small, variables, {name: by_hand}), 1e-5)
    zeros = change(small, variables, {name: 0.0})
    assert_close(zeros, change(small, variables, {name: jnp.zeros_like(value)}), 1e-6)


LAST = 5


def test_what_is_replaced_early_is_seen_later_and_not_before():
    small = decoder()
    variables = small.draw()
    plain = look(small, variables)
    name = "decoder.0.feed_forward_residual.residual"
    found = look(small, variables, patch={name: plain[name] + 1.0})
    np.testing.assert_array_equal(found[name], plain[name] + 1.0)
    changed = {key.rsplit(".", 2)[0] for key in plain if (found[key] != plain[key]).any()}
    same = [key for key in plain if key.startswith("decoder.0.") and key != name]
    assert all((found[key] == plain[key]).all() for key in same)
    assert {"decoder.1", "logits"} <= changed


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        ({"decoder.0.self_attention.head": 0.0}, UserError, "did you mean 'decoder.0.self_attent"),
        ({"encoder.*": 0.0}, UserError, "no activation matches 'encoder.*'"),
        ({"*.heads": At(0.0, heads=2)}, UserError, "has 2 heads, counted from 0, so none is 2"),
        ({"*.residual": At(0.0, heads=1)}, UserError, "has no heads, only rows, positions, feat"),
        ({"logits": jnp.zeros((3, 1, 1))}, ValueError, "does not broadcast to"),
        ({"logits": lambda x: x[0]}, ValueError, "a patch of logits gives"),
    ],
)
def test_wrong_patches_are_refused(patch, error, message):
    small = decoder()
    with pytest.raises(error) as caught:
        change(small, small.draw(), patch)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("implementation", ["blockwise", "cudnn"])
def test_weights_are_those_of_the_formula_whatever_holds_none(implementation):
    settings = {"dtype": "bfloat16", "attention_dropout_rate": 0.0}
    small = decoder(attention_implementation=implementation, **settings)
    variables = decoder().draw()
    found = look(small, variables)
    expected = look(decoder(**settings), variables)
    for name in ("scores", "weights"):
        path = f"decoder.1.self_attention.{name}"
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
