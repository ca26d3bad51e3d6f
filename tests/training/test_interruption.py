import gc
import os
import signal
import subprocess
import sys
import threading

import pytest

from flax_transformer.training.durability.interruption import Interrupted, Interruption

# Asks itself to stop, in its midst or at the end of a step, and says what it comes to.
PROGRAM = """
import os, signal, sys
from flax_transformer.training.durability.interruption import Interruption

with Interruption() as interruption:
    os.kill(os.getpid(), signal.SIGINT)
    print("goes on", interruption.requested, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("never comes here", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_step_goes_on(number):
    with Interruption() as interruption:
        interruption.check()
        os.kill(os.getpid(), number)
        assert interruption.requested == number
        with pytest.raises(Interrupted) as raised:
            interruption.check()
    assert raised.value.exit_code == 128 + number


def test_what_can_be_done_again_is_left_at_once():
    done = []
    with Interruption() as interruption:
        # The second time it is the request from before, which is not forgotten.
        for _ in range(2):
            with pytest.raises(Interrupted), interruption.at_once():
                done.append(os.kill(os.getpid(), signal.SIGTERM))
    assert not done


def test_a_signal_in_a_callback_of_the_garbage_collector_is_not_lost(monkeypatch):
    def interrupt(*_):
        gc.callbacks.remove(interrupt)
        signal.raise_signal(signal.SIGINT)

    swallowed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: swallowed.append(it.exc_type))
    gc.callbacks.append(interrupt)
    with Interruption() as interruption, pytest.raises(Interrupted), interruption.at_once():
        gc.collect()
    assert swallowed == [Interrupted]


@pytest.mark.parametrize(
    ("saved_step", "said"),
    [
        (0, "interrupted before a step was made: the same command prepares"),
        (1700, "interrupted after step 1,700, which is saved: the same command continues from"),
    ],
)
def test_an_interruption_reports_the_saved_step_and_how_to_continue(saved_step, said):
    with Interruption() as interruption:
        interruption.saved_step = saved_step
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match=f"^{said}"):
            interruption.check()


def test_a_second_signal_ends_the_process():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout == "goes on 2\n"
    assert done.returncode == -signal.SIGINT


def test_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Interruption():
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_another_thread_than_the_main_one_catches_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with Interruption():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
