import os
from types import SimpleNamespace

import pytest

from flax_transformer import cli
from flax_transformer.runtime import process
from flax_transformer.runtime.process import spare_threads

FLAG = "--xla_force_host_platform_device_count"


@pytest.mark.parametrize(
    ("flags", "num_devices"),
    [("", 1), (f"{FLAG}=1", 1), (f"{FLAG}=97", 97), (f"{FLAG}=8 --other=5 {FLAG}=97", 97)],
)
def test_simulated_devices_get_two_threads_each(monkeypatch, flags, num_devices):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 13)
    assert spare_threads() == num_devices
    assert os.environ.get("NPROC") == (None if num_devices == 1 else str(2 * num_devices))


def test_there_is_a_thread_for_each_core(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{FLAG}=3")
    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 13)
    assert spare_threads() == 3
    assert os.environ["NPROC"] == "13"


def test_the_option_of_jax_counts_too_and_a_number_that_is_set_stays(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("NPROC", "5")
    config = SimpleNamespace(jax_num_cpu_devices=11)
    monkeypatch.setattr(process, "jax", SimpleNamespace(config=config))
    assert spare_threads() == 11
    assert os.environ["NPROC"] == "5"


def test_every_command_gives_them(monkeypatch, capsys):
    called = []
    monkeypatch.setattr(process, "spare_threads", lambda: called.append(True))
    cli.main(["conventions"])
    assert called == [True]
