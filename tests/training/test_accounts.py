import json

import jax
import jax.numpy as jnp
import pytest

from flax_transformer.training.durability import time_accounts as accounts
from flax_transformer.training.durability.time_accounts import PARTS, TimeAccounts

pytestmark = pytest.mark.platforms


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on: `clock(seconds)`."""
    now = [100.0]
    monkeypatch.setattr(accounts.time, "perf_counter", lambda: now[0])

    def go_on(seconds: float) -> None:
        now[0] += seconds

    return go_on


def spent(times: TimeAccounts) -> dict[str, float]:
    return {part: seconds for part, seconds in times.seconds().items() if seconds}


def test_all_time_is_booked_once(clock, tmp_path):
    times = TimeAccounts(tmp_path / "times.json")
    clock(2)
    with times.of("step"):
        clock(3)
        with times.of("checkpoint"):
            clock(5)
        clock(7)
    with times.of("data"):
        clock(11)
    clock(13)
    assert spent(times) == {"start": 15, "step": 10, "checkpoint": 5, "data": 11}
    assert times.report() == (
        "41.0 s: starting 15.0, waiting for data 11.0, training steps 10.0, checkpoints 5.0"
    )


def test_what_is_compiled_in_a_part_is_booked_apart_and_once(clock, tmp_path):
    compiled = "/jax/core/compile/backend_compile_duration"
    with TimeAccounts(tmp_path / "times.json") as times:
        with times.of("step"):
            clock(3)
            jax.monitoring.record_event_duration_secs(compiled, 2.0)
            clock(4)
            # Within this, the function of the next line is compiled too.
            jax.monitoring.record_event_duration_secs(compiled, 1.0)
            jax.monitoring.record_event_duration_secs(compiled, 3.0)
            jax.monitoring.record_event_duration_secs("/jax/other", 1.0)
            clock(10)
        assert spent(times) == {"step": 12, "compile": 5}
    jax.monitoring.record_event_duration_secs(compiled, 1.0)
    assert spent(times) == {"step": 12, "compile": 5}


def test_a_compilation_is_seen(tmp_path):
    with TimeAccounts(tmp_path / "times.json") as times:
        jax.jit(lambda x: jnp.cos(x) * 7919)(jnp.ones(7))
        assert times.seconds()["compile"] > 0


@pytest.mark.parametrize("content", [None, '{"step": 9, "st', "[]"])
def test_what_was_done_since_the_checkpoint_is_lost(clock, tmp_path, content):
    first = TimeAccounts(tmp_path / "times.json")
    with first.of("step"):
        clock(7)
        saved = first.seconds()
        clock(4)
    first.write()
    if content is not None:
        (tmp_path / "times.json").write_text(content)
    second = TimeAccounts(tmp_path / "times.json")
    second.continue_from(saved)
    clock(2)
    assert spent(second) == {"step": 7, "start": 2} | ({"lost": 4} if content is None else {})
    second.write()
    kept = json.loads((tmp_path / "times.json").read_text())
    assert kept == second.seconds()
    assert list(kept) == list(PARTS)


def test_what_no_checkpoint_holds_is_lost(clock, tmp_path):
    first = TimeAccounts(tmp_path / "times.json")
    clock(3)
    first.write()
    second = TimeAccounts(tmp_path / "times.json")
    second.continue_from({})
    assert spent(second) == {"lost": 3}
