from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flax_transformer.errors import UserError
from flax_transformer.training.optimizer.optimizer_config import (
    FALLING,
    OptimizerConfig,
    Schedule,
    make_optimizer,
    make_schedule,
)

PEAK, WARMUP, NUM_STEPS, D_MODEL = 0.03, 17, 101, 128


def rates_of(schedule: optax.Schedule, num_steps: int) -> np.ndarray:
    """The learning rates of the updates 1, 2, ..., num_steps."""
    return np.asarray(jax.vmap(schedule)(jnp.arange(num_steps)))


def make_rates(name, warmup_steps=WARMUP, num_steps=NUM_STEPS, **others):
    peak = None if name == "paper" else PEAK
    config = OptimizerConfig(name, peak, warmup_steps, **others)
    return rates_of(make_schedule(config, D_MODEL, num_steps), num_steps)


@pytest.mark.parametrize(("d_model", "warmup_steps"), [(512, 4000), (128, 503), (2, 1)])
def test_the_papers_schedule_is_equation_3(d_model, warmup_steps):
    step = np.arange(1, 20_001, dtype=np.float64)
    expected = d_model**-0.5 * np.minimum(step**-0.5, step * warmup_steps**-1.5)
    config = OptimizerConfig(warmup_steps=warmup_steps)
    rates = rates_of(make_schedule(config, d_model, step.size), step.size)
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


@pytest.mark.parametrize("name", get_args(Schedule))
def test_warm_up_rises_evenly_to_the_peak(name):
    rates = make_rates(name)
    peak = (D_MODEL * WARMUP) ** -0.5 if name == "paper" else PEAK
    assert rates.max() == pytest.approx(peak)
    assert rates[WARMUP - 1] == np.float32(peak)
    assert np.all(rates[: WARMUP - 1] < rates[WARMUP - 1])
    assert rates[0] == pytest.approx(peak / WARMUP)
    rise = np.diff(rates[:WARMUP])
    np.testing.assert_allclose(rise, rise.mean(), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "course"),
    [
        ("inverse_sqrt", lambda step: PEAK * np.sqrt(WARMUP / step)),
        ("constant", lambda step: np.full(step.shape, PEAK)),
        (
            "cosine",
            lambda step: (
                PEAK / 2 * (1 + np.cos(np.pi * (step - WARMUP) / (NUM_STEPS + 1 - WARMUP)))
            ),
        ),
        ("linear", lambda step: PEAK * (NUM_STEPS + 1 - step) / (NUM_STEPS + 1 - WARMUP)),
    ],
)
def test_after_warm_up_the_rate_follows_its_course(name, course):
    step = np.arange(WARMUP + 1, NUM_STEPS + 1)
    np.testing.assert_allclose(make_rates(name)[WARMUP:], course(step), rtol=1e-4)


def test_a_cosine_and_a_line_end_near_zero():
    assert 0 <= make_rates("cosine")[-1] < PEAK / 1000
    assert make_rates("linear")[-1] == pytest.approx(PEAK / (NUM_STEPS + 1 - WARMUP), rel=1e-4)


@pytest.mark.parametrize("name", FALLING)
def test_of_a_final_fraction_the_rest_falls_as_without_one(name):
    expected = 0.1 * PEAK + 0.9 * make_rates(name)[WARMUP:]
    rates = make_rates(name, final_fraction=0.1)
    np.testing.assert_allclose(rates[WARMUP:], expected, rtol=1e-5)
    np.testing.assert_array_equal(rates[:WARMUP], make_rates(name)[:WARMUP])
    # Also where a training goes on beyond what was said.
    config = OptimizerConfig(name, PEAK, WARMUP, final_fraction=0.1)
    assert rates_of(make_schedule(config, D_MODEL, 19), 29)[-1] == pytest.approx(PEAK / 10)


@pytest.mark.parametrize("name", get_args(Schedule))
def test_a_training_shorter_than_its_warm_up_only_rises(name):
    rates = make_rates(name, warmup_steps=23, num_steps=11)
    assert np.all(np.diff(rates) > 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "cosin"}, "unknown --optimizer.schedule 'cosin': did you mean 'cosine'"),
        ({"learning_rate": 0.1}, "learning-rate 0.1 has no effect on the paper's schedule"),
        ({"schedule": "cosine"}, "cosine needs --optimizer.learning-rate"),
        ({"schedule": "constant", "learning_rate": 0.0}, "learning-rate must be positive, not 0"),
        ({"warmup_steps": 0}, "warmup-steps must be at least 1, not 0"),
        ({"clip_norm": -1.0}, "clip-norm must be positive, not -1"),
        ({"eps": 0.0}, "eps must be positive, not 0"),
        ({"eps": float("nan")}, "eps must be positive, not nan"),
        ({"clip_norm": float("inf")}, "clip-norm must be positive, not inf"),
        ({"warmup_steps": 10**20}, "warmup-steps must be at most 2,147,483,647, not 1000"),
        ({"b1": 1.0}, r"b1 must be in \[0, 1\), not 1"),
        ({"b2": -0.1}, r"b2 must be in \[0, 1\), not -0.1"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), not 1"),
        ({"final_fraction": 1.1}, r"final-fraction must be in \[0, 1\], not 1.1"),
        ({"weight_decay": -0.1}, "weight-decay must be 0 or positive, not -0.1"),
        ({"weight_decay": float("inf")}, "weight-decay must be 0 or positive, not inf"),
        ({"layer_decay": 0.0}, r"layer-decay must be in \(0, 1\], not 0"),
        ({"layer_decay": float("nan")}, r"layer-decay must be in \(0, 1\], not nan"),
        ({"ema_decay": 1.0}, r"ema-decay must be in \(0, 1\), not 1"),
        ({"name": "adamx"}, "unknown --optimizer.name 'adamx': did you mean 'adam"),
        (
            {"weight_decay": 0.1},
            "weight-decay 0.1 is set, but --optimizer.name adam does not read it: leave it at 0.0, "
            "or choose adamw or lamb or lion or sgd or adafactor",
        ),
        (
            {"name": "sgd", "b2": 0.99},
            "b2 0.99 is set, but .* sgd does not .* adam or adamw or lamb",
        ),
        ({"name": "lion", "eps": 1e-8}, "eps 1e-08 is set, but .* lion does not .* adam or adamw"),
        (
            {"name": "adafactor", "momentum_dtype": "bfloat16"},
            "momentum-dtype bfloat16 is set, but --optimizer.name adafactor does not read it: "
            "leave it at float32, or choose adam or adamw or lamb or lion or sgd",
        ),
        (
            {"name": "sgd", "momentum": 0.0, "momentum_dtype": "bfloat16"},
            "--optimizer.momentum-dtype bfloat16 has no effect on --optimizer.momentum 0",
        ),
        ({"momentum_dtype": "float16"}, "unknown --optimizer.momentum-dtype 'float16': did you"),
        ({"momentum": 0.5}, "momentum 0.5 is set, but .* at 0.9, or choose sgd"),
        (
            {"final_fraction": 0.1},
            "final-fraction 0.1 is set, but --optimizer.schedule paper does not read it: leave it "
            "at 0.0, or choose cosine or linear",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        OptimizerConfig(**fields)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_updates_are_those_of_adam(clip_norm):
    """Kingma and Ba 2015, algorithm 1; gradients are clipped by the norm of all together."""
    config = OptimizerConfig("inverse_sqrt", PEAK, 3, clip_norm=clip_norm)
    schedule = make_schedule(config, D_MODEL, NUM_STEPS)
    optimizer = make_optimizer(config, schedule)
    rng = np.random.default_rng(0)
    shapes = {"matrix": (2, 3), "vector": (5,)}
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    found: Any = params
    state = optimizer.init(params)
    mean = {name: np.zeros(shape) for name, shape in shapes.items()}
    square = {name: np.zeros(shape) for name, shape in shapes.items()}
    for step in range(1, 6):
        # From far below the largest norm to far above it.
        gradient = {
            name: 0.1 ** (3 - step) * rng.normal(size=s).astype(np.float32)
            for name, s in shapes.items()
        }
        updates, state = optimizer.update(gradient, state, found)
        found = optax.apply_updates(found, updates)
        norm = np.sqrt(sum(np.sum(g**2) for g in gradient.values()))
        scale = 1.0 if clip_norm is None else min(1.0, clip_norm / norm)
        for name, raw in gradient.items():
            g = raw * scale
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.98 * square[name] + 0.02 * g**2
            m, v = mean[name] / (1 - 0.9**step), square[name] / (1 - 0.98**step)
            rate = PEAK * min(step / 3, np.sqrt(3 / step))
            params[name] = params[name] - rate * m / (np.sqrt(v) + 1e-9)
    for name in shapes:
        np.testing.assert_allclose(found[name], params[name], rtol=1e-4)


def test_layer_decay_needs_layers_that_are_trained():
    """Adapters may all be outside of the layers."""
    optimizer = make_optimizer(OptimizerConfig(layer_decay=0.5), lambda count: 0.5)
    with pytest.raises(
        UserError, match=r"^--optimizer\.layer-decay 0\.5 needs trained layers, but"
    ):
        optimizer.init({"token_transform": {"lora_a": jnp.ones((3, 2))}})
