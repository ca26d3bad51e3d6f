"""Adapters: what is trained, what is frozen, and that both together are the model."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_close
from small_models import MODELS, decoder
from small_tasks import language_modeling_task, text_batch

from flax_transformer.errors import UserError
from flax_transformer.models.stacking import stack_layers
from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves
from flax_transformer.training.lora import A, B, Base, describe, freeze, merged
from flax_transformer.training.lora_config import LoraConfig
from flax_transformer.training.optimizer.update_rules import keep_moving_average, moving_average
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_gradient, make_train_step

CONFIG = LoraConfig(rank=3, alpha=6.0)
VOCAB, RATE = 11, 0.5
pytestmark = pytest.mark.usefixtures("quickly_compiled")
BATCH = text_batch(np.random.default_rng(0).integers(1, VOCAB, (8, 6), np.int32))


def state_of(variables: Any, config: LoraConfig = CONFIG, fresh: Any = (), **options: Any) -> Any:
    optimizer = options.get("optimizer", optax.sgd(RATE))
    base = freeze(variables, fresh, config)
    return init_state(variables, optimizer, base, jax.random.key(1))


def drawn(tree: Any) -> Any:
    """Numbers in place of zeros."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), tree)


@pytest.mark.parametrize("name", MODELS)
def test_every_kernel_of_every_model_can_have_an_adapter(name):
    params = jax.eval_shape(MODELS[name].init)["params"]
    kernels = {path for path in named_leaves(params) if path.endswith("/kernel")}
    names = {part for path in kernels for part in path.split("/")[:-1]}
    base = freeze({"params": params}, (), LoraConfig(rank=3, targets=tuple(names)))
    trained = jax.eval_shape(base.divide, params, jax.random.key(0))
    assert {path.replace(A, "kernel") for path in named_leaves(trained) if A in path} == kernels
    again = jax.eval_shape(lambda base, trained: base.merge(trained), base, trained)
    shape = lambda x: (x.shape, x.dtype)  # noqa: E731
    assert jax.tree.map(shape, again) == jax.tree.map(shape, params)


def test_an_adapter_is_a_product_of_flattened_matrices():
    """Inputs are d_model, or of the output projection the heads' vectors; the paper's formula."""
    variables = decoder().draw()
    config = LoraConfig(rank=3, alpha=6.0, targets=("self_attention", "hidden"))
    state = state_of(variables, config)
    trained = drawn(state.params)
    found = named_leaves(state.base.merge(trained))
    given, factors = named_leaves(variables["params"]), named_leaves(trained)
    changed = {path for path in given if not np.array_equal(given[path], found[path])}
    parts = ("query", "key", "value", "output")
    modules = [*(f"self_attention/{part}" for part in parts), "feed_forward/hidden"]
    assert changed == {f"decoder_{i}/{module}/kernel" for i in (0, 1) for module in modules}
    for path in changed:
        down, up = (np.float64(factors[path.replace("kernel", name)]) for name in (A, B))
        product = 6 / 3 * down.reshape(12, 3) @ up.reshape(3, -1)
        expected = np.float64(given[path]) + product.reshape(given[path].shape)
        assert_close(found[path], expected, 1e-6)


def test_a_is_drawn_from_its_inputs_and_b_is_zero_so_that_nothing_changes_at_first():
    variables = decoder(d_model=48).draw()
    state = state_of(variables)
    for path, leaf in named_leaves(state.params).items():
        if path.endswith(B):
            assert not leaf.any()
        else:
            assert 0.9 * 48**-0.5 < np.abs(leaf).max() <= 48**-0.5
            assert abs(leaf.mean()) < 0.03
    model = decoder(d_model=48)
    after = model.apply(merged(state.variables, state.base))
    np.testing.assert_array_equal(after, model.apply(variables))
    leaves = [leaf for path, leaf in named_leaves(state.params).items() if path.endswith(A)]
    assert len({float(leaf.ravel()[0]) for leaf in leaves}) == len(leaves) == 4


def test_stacked_layers_have_stacked_adapters():
    single = state_of(decoder().draw())
    trained = drawn(single.params)
    expected = stack_layers({"params": single.base.merge(trained)})["params"]
    stacked = Base(stack_layers({"params": single.base.params})["params"], CONFIG)
    found = stacked.merge(stack_layers({"params": trained})["params"])
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    new = stacked.divide(expected, jax.random.key(0))
    assert new["decoder"]["self_attention"]["query"][A].shape == (2, 12, 3)


def step_once(settings: Any, num_devices: int, parts: int) -> tuple[Any, Any, Any]:
    """The variables of a model, and the states before and after a step of sgd."""
    settings |= {"residual_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
    task = language_modeling_task(decoder(**settings).model.config, VOCAB)
    variables = jax.tree.map(jnp.array, task.init(jax.random.key(0)))
    devices = choose_devices(devices=jax.devices()[:num_devices])
    before = jax.device_get(state_of(variables))
    step = make_train_step(
        task.loss,
        optax.sgd(RATE),
        max_skipped=1,
        accumulate_steps=parts,
        axis_name=devices.axis_name,
    )
    held = devices.place(before)
    after, _ = devices.compile(step)(held, devices.share(BATCH), jax.random.key(0))
    full = init_state(variables, optax.sgd(RATE))
    gradient = jax.jit(make_gradient(task.loss))(full, BATCH, jax.random.key(0)).mean
    return gradient, before, jax.device_get(devices.whole(after))


@pytest.mark.parametrize(
    ("settings", "num_devices", "parts", "tolerance"),
    [
        ({"scan_layers": True, "remat": "all"}, 2, 2, 1e-5),
        ({"dtype": "bfloat16"}, 1, 4, 3e-2),
    ],
)
def test_a_step_is_that_of_the_gradient_of_the_merged_weights(
    settings, num_devices, parts, tolerance
):
    """By the chain rule: dB = scale A^T dW, and dA = scale dW B^T, which is 0 while B is."""
    gradient, before, after = step_once(settings, num_devices, parts)
    jax.tree.map(np.testing.assert_array_equal, after.base, before.base)
    full, old, new = map(named_leaves, (gradient, before.params, after.params))
    assert old.keys() == new.keys()
    for path, down in old.items():
        if not path.endswith(A):
            continue
        np.testing.assert_array_equal(new[path], down)
        whole = full[path.replace(A, "kernel")]
        flat = whole.reshape(*down.shape[:-1], -1)
        expected = -RATE * 2 * np.swapaxes(down, -1, -2) @ flat
        found = new[path.replace(A, B)].reshape(expected.shape)
        assert np.abs(expected).max() > 1e-4
        assert_close(found, expected, tolerance)


def test_the_moving_average_is_that_of_adapters():
    variables = decoder().draw()
    optimizer = optax.chain(optax.sgd(RATE), keep_moving_average(0.5))
    state = state_of(variables, optimizer=optimizer)
    average: Any = moving_average(state.optimizer_state)
    assert named_leaves(average).keys() == named_leaves(state.params).keys()
    names = named_leaves(merged(state.variables, state.base)).keys()
    assert names == named_leaves({"params": variables["params"]}).keys()


def test_new_and_named_parts_are_trained_in_full():
    variables = MODELS["encoder pool mean"].draw()
    config = LoraConfig(rank=3, targets=("query",), trained=("embedding_norm", "bias"))
    new = ("params/classifier/kernel", "params/classifier/bias")
    state = state_of(variables, config, new)
    trained = {path for path in named_leaves(state.params) if not path.endswith((A, B))}
    assert {"classifier/kernel", "embedding_norm/scale"} <= trained
    assert "encoder_0/attention/query/bias" in trained
    assert not trained & named_leaves(state.base.params).keys()
    number, total = (
        sum(x.size for x in jax.tree.leaves(tree)) for tree in (state.params, variables["params"])
    )
    said = describe(state.params, state.base)
    assert said.startswith(f"trained: {number:,} of {total:,} parameters (LoRA rank 3 on query; in")
    assert describe(variables["params"], None) == f"{total:,} parameters"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"targets": ("qeury",)},
            "lora.targets 'qeury': did you mean 'query'? Known: feed_forward",
        ),
        ({"targets": ("scale",)}, "unknown --training.lora.targets 'scale'"),
        ({"trained": ("clasifier",)}, "unknown --training.lora.trained 'clasifier'"),
        ({"trained": ("kernel",)}, "lora.targets query value: all of them are trained in full"),
    ],
)
def test_names_of_no_part_are_refused(config, message):
    with pytest.raises(UserError, match=re.escape(message)):
        freeze(decoder().draw(), (), LoraConfig(rank=3, **config))


def test_a_rank_above_the_sides_of_a_kernel_is_refused():
    message = r"rank 1000 is more than the \d+ rows or columns of decoder_0/self_attention/query:"
    with pytest.raises(UserError, match=message):
        freeze(decoder().draw(), (), LoraConfig(rank=1000))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rank": -1}, "--training.lora.rank must be at least 0"),
        ({"rank": 3, "alpha": 0.0}, "--training.lora.alpha must be positive"),
        ({"alpha": 32.0}, "alpha 32.0 is set, but --training.lora.rank is 0: give a rank"),
        ({"targets": ("query", "key")}, "targets query key is set, but --training.lora.rank is 0"),
    ],
)
def test_values_without_an_effect_are_refused(config, message):
    with pytest.raises(UserError, match=re.escape(message)):
        LoraConfig(**config)
