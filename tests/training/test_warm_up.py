"""The step of the peak learning rate, and the warning about a training that ends before it."""

import io
from typing import get_args

import numpy as np
import pytest
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.training import loop
from flax_transformer.training.optimizer.optimizer_config import (
    OptimizerConfig,
    Schedule,
    make_schedule,
)

PEAK = 0.25


@pytest.mark.parametrize("warmup_steps", [1, 2, 10])
@pytest.mark.parametrize("name", get_args(Schedule))
def test_the_peak_is_first_reached_at_update_warmup_steps(name, warmup_steps):
    """As in equation 3 of the paper, which counts updates from 1."""
    config = OptimizerConfig(name, None if name == "paper" else PEAK, warmup_steps)
    d_model = 64
    schedule = make_schedule(config, d_model, 30)
    peak = (d_model * warmup_steps) ** -0.5 if name == "paper" else PEAK
    rates = np.array([schedule(step - 1) for step in range(1, 31)])
    rise = [peak * step / warmup_steps for step in range(1, warmup_steps + 1)]
    np.testing.assert_allclose(rates[:warmup_steps], rise, rtol=1e-6)
    after = rates[warmup_steps]
    assert after == pytest.approx(peak) if name == "constant" else after < peak * 0.999


def said(folder, num_steps, warmup_steps, **changes) -> str:
    experiment = with_fields(
        make_experiment(folder), "optimizer", warmup_steps=warmup_steps, **changes
    )
    experiment = with_fields(experiment, "training", num_steps=num_steps, evaluate_every_steps=1000)
    printed = io.StringIO()
    loop.train(experiment, folder / "run", Console(file=printed, width=40))
    return printed.getvalue()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.usefixtures("quickly_compiled")
def test_a_warm_up_that_outlasts_the_training_is_said_with_both_numbers(tmp_path, schedule):
    printed = said(tmp_path, 2, 1003, schedule=schedule)
    line = (
        "warning: the learning rate rises for 1,003 updates, but the training has 2, and ends at "
        "0.2% of the peak: lower --optimizer.warmup-steps, or raise --training.num-steps\n"
    )
    assert line in printed


@pytest.mark.usefixtures("quickly_compiled")
def test_a_warm_up_that_ends_with_the_training_is_not_warned_of(tmp_path):
    assert "warmup" not in said(tmp_path, 2, 2)
