from typing import get_args

import numpy as np
import optax
import pytest

from flax_transformer.training.optimizer.optimizer_config import (
    OptimizerConfig,
    Schedule,
    make_schedule,
)
from flax_transformer.visualization.curves import plot_schedules


def test_every_update_has_the_rate_that_training_takes():
    schedules = {
        name: make_schedule(OptimizerConfig(name, None if name == "paper" else 0.5, 11), 7, 29)
        for name in get_args(Schedule)
    }
    (axes,) = plot_schedules(schedules, 29).axes
    drawn = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.get_lines()}
    assert set(drawn) == set(schedules)
    for name, schedule in schedules.items():
        np.testing.assert_array_equal(drawn[name][:, 0], range(1, 30))
        expected = [np.asarray(schedule(count)) for count in range(29)]
        np.testing.assert_allclose(drawn[name][:, 1], expected, rtol=1e-6, atol=1e-7)
    assert axes.get_ylim()[0] == 0
    assert (axes.get_xlabel(), axes.get_title(loc="left")) == ("updates", "learning rate")


def test_a_long_training_is_drawn_from_its_first_update_to_its_last():
    (axes,) = plot_schedules({"paper": make_schedule(OptimizerConfig(), 512, 1)}, 100_003).axes
    updates = np.asarray(axes.get_lines()[0].get_xdata())
    assert (updates[0], updates[-1]) == (1, 100_003)
    assert (np.diff(updates) > 0).all()


def test_labels_stand_at_the_ends_of_their_lines():
    schedules = {str(rate): optax.constant_schedule(rate) for rate in (2.0, 5.0, 7.0)}
    (axes,) = plot_schedules(schedules, 3).axes
    lowest, highest = axes.get_ylim()
    for text, rate in zip(axes.texts, (2, 5, 7), strict=True):
        assert text.get_text() == f"{float(rate)}  {rate}"
        height = (rate - lowest) / (highest - lowest)
        assert text.get_position()[1] == pytest.approx(height, abs=1e-6)


@pytest.mark.parametrize(
    ("schedules", "num_steps", "message"),
    [({}, 3, "0 schedules over 3"), ({"a": lambda count: count}, 0, "1 schedules over 0")],
)
def test_nothing_to_draw_is_refused(schedules, num_steps, message):
    with pytest.raises(ValueError, match=message):
        plot_schedules(schedules, num_steps)
