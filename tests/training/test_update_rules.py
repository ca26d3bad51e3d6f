"""Every optimizer against its formula in NumPy float64, with weight decay and layers' own rates."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_transformer.models.stacking import stack_layers
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig, make_optimizer
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS

B1, B2, EPS, MOMENTUM, WEIGHT_DECAY, LAYER_DECAY = 0.83, 0.97, 1e-5, 0.7, 0.13, 0.6
VALUES = {
    "b1": B1,
    "b2": B2,
    "eps": EPS,
    "momentum": MOMENTUM,
    "weight_decay": WEIGHT_DECAY,
    "momentum_dtype": "float32",
}
# Shapes, whether they decay, and the layers above them. Adafactor factors from 128 rows on.
PARAMETERS = {
    "embedding/table": ((131, 137), True, 3),
    "positions/table": ((7, 5), False, 3),
    "encoder_0/query/kernel": ((5, 2, 3), True, 2),
    "encoder_0/query/bias": ((2, 3), False, 2),
    "encoder_1/query/kernel": ((5, 2, 3), True, 1),
    "encoder_1/query/bias": ((2, 3), False, 1),
    "classifier/kernel": ((5, 11), True, 0),
    "classifier/bias": ((11,), False, 0),
}


def draw(seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Each parameter of another size, as layers have.
    return {
        name: (scale * (1 + i) * rng.normal(size=shape)).astype(np.float32)
        for i, (name, (shape, _, _)) in enumerate(PARAMETERS.items())
    }


def nested(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, leaf in flat.items():
        *modules, last = name.split("/")
        functools.reduce(lambda inner, key: inner.setdefault(key, {}), modules, tree)[last] = leaf
    return tree


def adam(state, g, p, t, decay, trusts=False):
    state["m"] = B1 * state.get("m", 0) + (1 - B1) * g
    state["v"] = B2 * state.get("v", 0) + (1 - B2) * g**2
    m, v = state["m"] / (1 - B1**t), state["v"] / (1 - B2**t)
    direction = m / (np.sqrt(v) + EPS) + decay * p
    return direction * (np.linalg.norm(p) / np.linalg.norm(direction) if trusts else 1)


def lion(state, g, p, t, decay):
    m = state.get("m", 0)
    state["m"] = B2 * m + (1 - B2) * g
    return np.sign(B1 * m + (1 - B1) * g) + decay * p


def sgd(state, g, p, t, decay):
    state["m"] = MOMENTUM * state.get("m", 0) + g
    return state["m"] + decay * p


def adafactor(state, g, p, t, decay):
    """Shazeer and Stern 2018, algorithms 4 and 5, and section 8 for what is small."""
    beta = 1 - t**-0.8
    state["v"] = beta * state.get("v", 0) + (1 - beta) * (g**2 + 1e-30)
    mean = state["v"]
    if sorted(g.shape)[-2:][0] >= 128:
        rows, columns = mean.mean(axis=1, keepdims=True), mean.mean(axis=0, keepdims=True)
        mean = rows * columns / rows.mean()
    direction = g / np.sqrt(mean)
    direction /= max(1, np.sqrt(np.mean(direction**2)))
    return direction * max(1e-3, np.sqrt(np.mean(p**2))) + decay * p


FORMULAS = {
    "adam": adam,
    "adamw": adam,
    "lamb": functools.partial(adam, trusts=True),
    "lion": lion,
    "sgd": sgd,
    "adafactor": adafactor,
}


def configure(name: str, **others: Any) -> OptimizerConfig:
    fields: dict[str, Any] = {field: VALUES[field] for field in OPTIMIZERS[name].reads}
    fields |= {"layer_decay": LAYER_DECAY, **others}
    return OptimizerConfig("constant", 1.0, name=name, **fields)


def rate(count: Any) -> Any:
    return 0.01 * (1 + count)


def move(config: OptimizerConfig, params: Any, gradients: list[Any]) -> tuple[Any, Any]:
    """The parameters and the optimizer's state after some updates."""
    optimizer = make_optimizer(config, rate)
    state = optimizer.init(params)

    @jax.jit
    def update(gradient, state, params):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for gradient in gradients:
        params, state = update(gradient, state, params)
    return params, state


@pytest.mark.parametrize("layer_decay", [1.0, LAYER_DECAY])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_follow_the_formula(name, layer_decay):
    gradients = [draw(seed, 0.1 ** (3 - seed)) for seed in range(1, 6)]
    config = configure(name, layer_decay=layer_decay)
    moved, _ = move(config, nested(draw(0)), [nested(g) for g in gradients])
    flat = jax.tree_util.tree_leaves_with_path(moved)
    found = {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in flat}
    for parameter, (_, decays, above) in PARAMETERS.items():
        p, state = draw(0)[parameter].astype(np.float64), {}
        decay = WEIGHT_DECAY if decays and name != "adam" else 0
        for t, gradient in enumerate(gradients, 1):
            g = gradient[parameter].astype(np.float64)
            p = p - rate(t - 1) * layer_decay**above * FORMULAS[name](state, g, p, t, decay)
        np.testing.assert_allclose(found[parameter], p, rtol=1e-4, atol=1e-5, err_msg=parameter)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_stacked_layers_move_as_single_ones(name):
    def stacked(tree):
        return stack_layers({"params": tree})["params"]

    trees = [nested(draw(seed)) for seed in range(4)]
    expected, _ = move(configure(name), trees[0], trees[1:])
    found, _ = move(configure(name), stacked(trees[0]), [stacked(tree) for tree in trees[1:]])
    assert found["encoder"]["query"]["kernel"].shape == (2, 5, 2, 3)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found,
        stacked(expected),
    )


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_the_default_is_optaxs_adam_bit_for_bit_and_so_is_adamw_that_does_not_decay(clip_norm):
    trees = [nested(draw(seed)) for seed in range(4)]
    adam = optax.adam(rate, 0.9, 0.98, 1e-9)
    if clip_norm is not None:
        adam = optax.chain(optax.clip_by_global_norm(clip_norm), adam)
    params = expected = trees[0]
    state = adam.init(params)
    for gradient in trees[1:]:
        updates, state = adam.update(gradient, state, expected)
        expected = optax.apply_updates(expected, updates)
    for name in ("adam", "adamw"):
        optimizer = make_optimizer(OptimizerConfig(name=name, clip_norm=clip_norm), rate)
        found, found_state = params, optimizer.init(params)
        for gradient in trees[1:]:
            updates, found_state = optimizer.update(gradient, found_state, found)
            found = optax.apply_updates(found, updates)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
        leaves = zip(*map(jax.tree.leaves, (found_state, state)), strict=True)
        for ours, theirs in leaves:
            np.testing.assert_array_equal(ours, theirs)
        if name == "adam":
            # So that checkpoints of before can be continued.
            assert jax.tree.structure(found_state) == jax.tree.structure(state)


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "adafactor"])
def test_only_the_mean_gradient_is_kept_in_bfloat16(name):
    """The first update is the same: what it uses is rounded after it."""
    trees = [nested(draw(seed)) for seed in range(3)]
    wide, narrow = configure(name), configure(name, momentum_dtype="bfloat16")
    (expected, plain), (found, state) = (move(one, trees[0], trees[1:2]) for one in (wide, narrow))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    number = sum(shape.size for shape in jax.tree.leaves(trees[0]))
    saved = sum(leaf.nbytes for leaf in jax.tree.leaves(plain)) - sum(
        leaf.nbytes for leaf in jax.tree.leaves(state)
    )
    assert saved == 2 * number
    expected, _ = move(wide, trees[0], trees[1:])
    found, _ = move(narrow, trees[0], trees[1:])
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # Lion's steps are signs, which rounding turns where the mean is near zero.
        assert np.mean(np.abs(one - two) > 1e-2 * np.abs(two).max()) < 0.01


def test_a_mean_square_in_bfloat16_would_not_fall():
    """Why it stays float32."""
    one = jnp.bfloat16(1)
    assert (0.999 * one.astype(jnp.float32)).astype(jnp.bfloat16) == one


def test_sgd_without_momentum_keeps_nothing_but_the_number_of_updates():
    _, state = move(configure("sgd", momentum=0.0), nested(draw(0)), [nested(draw(1))])
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [()]


def test_every_optimizer_says_what_it_is():
    assert all(rule.description for rule in OPTIMIZERS.values())
