"""The time left of a training, by a clock that the test moves."""

import io
import re

import pytest
from rich.console import Console

from flax_transformer.training import log
from flax_transformer.training.log import TimeLeft, TrainingProgress
from flax_transformer.training.training_config import TrainingConfig


class Clock:
    """Shows the seconds that it was moved by."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Training:
    """Steps of given lengths, an evaluation every 20 steps."""

    def __init__(self, num_steps, evaluation_seconds=0.0):
        self.clock, self.step = Clock(), 0
        self.left = TimeLeft(num_steps, 20, self.clock)
        self._evaluation_seconds = evaluation_seconds

    def make(self, num_steps, seconds):
        """Makes steps, each of so many seconds, and gives the seconds left."""
        for _ in range(num_steps):
            self.clock.now += seconds
            self.step += 1
            self.left.step()
            if self.step % 20 == 0 and self._evaluation_seconds:
                self.clock.now += self._evaluation_seconds
                self.left.evaluation(self._evaluation_seconds)
        return self.left.seconds(self.step)


def test_even_steps_are_multiplied():
    assert Training(1000).make(100, 0.5) == pytest.approx(450)


def test_a_suspended_training_says_minutes_again_after_a_few_steps():
    training = Training(3000)
    training.make(1000, 0.5)
    training.make(1, 3600)
    assert training.make(3, 0.5) == pytest.approx(1996 * 0.5)


def test_a_training_suspended_soon_after_its_start_says_minutes_too():
    training = Training(3000)
    training.make(2, 0.5)
    training.make(1, 3600)
    assert training.make(1, 0.5) == pytest.approx(2996 * 0.5)


def test_a_training_that_was_slow_for_hours_is_estimated_by_its_recent_steps():
    training = Training(3000)
    assert training.make(1000, 20) == pytest.approx(2000 * 20)
    assert training.make(60, 0.5) == pytest.approx(1940 * 0.5)


def test_steps_of_several_lengths_count_with_their_mean():
    """Batches of several shapes take different times; the median would be the time of one shape."""
    training = Training(2100)
    for _ in range(50):
        training.make(1, 0.2)
        training.make(1, 1.0)
    assert training.left.seconds(training.step) == pytest.approx(2000 * 0.6)


def test_evaluations_to_come_take_time_too():
    training = Training(100, evaluation_seconds=30.0)
    assert training.make(50, 1) == pytest.approx(50 + 3 * 30)
    assert training.make(49, 1) == pytest.approx(1 + 30)


def test_an_evaluation_that_was_suspended_does_not_count():
    training = Training(100, evaluation_seconds=30.0)
    training.make(39, 1)
    training.clock.now += 3600
    training.left.evaluation(3600.0)
    training.make(1, 1)
    assert training.make(1, 1) == pytest.approx(59 + 3 * 30)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_line_and_a_bar_say_the_same(monkeypatch, is_terminal):
    clock = Clock()
    monkeypatch.setattr(log.time, "perf_counter", clock)
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=is_terminal, width=200)
    training = TrainingConfig(num_steps=1000, evaluate_every_steps=2000)
    with TrainingProgress(console, training, 0, "tokens") as progress:
        for step, seconds in enumerate([1] * 30 + [3600] + [1] * 9, 1):
            clock.now += seconds
            progress.step()
            if step % 10 == 0:
                progress.log(step, loss=1.0, count=100)
    said = re.findall(r"(\d[\d:]*) left", printed.getvalue())
    # A bar is drawn when there is time, and at the end.
    lines = ["16:00"] if is_terminal else ["16:30", "16:20", "16:10", "16:00"]
    assert list(dict.fromkeys(said))[-len(lines) :] == lines


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_last_step_leaves_only_its_evaluation(monkeypatch, is_terminal):
    clock = Clock()
    monkeypatch.setattr(log.time, "perf_counter", clock)
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=is_terminal, width=200)
    with TrainingProgress(console, TrainingConfig(num_steps=4), 0, "tokens") as progress:
        for step in (1, 2, 3, 4):
            clock.now += 7
            progress.step()
            progress.pause(since=clock.now - 5)
            progress.log(step, loss=1.0, count=100)
    last = [line for line in printed.getvalue().splitlines() if "4/4" in line][-1]
    assert "only its evaluation is left" in last
    assert not re.search(r"\d left", last)
