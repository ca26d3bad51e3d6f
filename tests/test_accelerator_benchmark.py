"""The script that measures an accelerator, tried on small sizes and on parts that fail."""

import importlib
import json
import os
import re
import subprocess
import sys
import time

import jax
import pytest
import tyro
from benchmark_scripts import FOLDER, assert_refuses, imported

# Prints a number after another process, which it has started, has written a file much later.
STARTS_ANOTHER = """
import subprocess, sys
late = "import pathlib, time; time.sleep(2); pathlib.Path({path!r}).touch()"
print(5, flush=True)
subprocess.run([sys.executable, "-c", late])
"""


@pytest.fixture(scope="module")
def script():
    with imported("accelerator") as module:
        yield module


@pytest.fixture(scope="module")
def parts(script):
    return importlib.import_module("accelerator_parts")


@pytest.fixture
def part(parts):
    """Makes a part from a program that prints JSON."""
    return lambda program, seconds=30.0: parts.Part(
        ["-c", program], seconds, json.loads, lambda data, kind: f"{data} on {kind}"
    )


def test_small_sizes_run_and_everything_is_written(tmp_path):
    out = tmp_path / "toy.json"
    words = [FOLDER / "accelerator.sh", "--toy", "--out", out.name, "--only", "attention"]
    done = subprocess.run(
        ["bash", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text("utf-8"))
    assert record["device"]["device"] == jax.devices()[0].device_kind
    assert record["device"]["versions"]["jax"] == jax.__version__
    assert record["toy"]
    assert record["command"][1:] == ["--toy", "--out", "toy.json", "--only", "attention"]
    assert {"commit", "has_changes", "date"} <= record.keys()
    assert list(record["parts"]) == ["device", "attention to 64"]
    attention = record["parts"]["attention to 64"]
    assert attention["status"] == "done"
    assert attention["result"]["options"]["dtype"] == "bfloat16"
    measured = [(each["length"], each["implementation"]) for each in attention["result"]["results"]]
    assert measured == [(n, name) for n in (32, 64) for name in ("xla", "blockwise")]
    assert "part 2/2, attention to 64, at most" in done.stderr
    assert "attention to 64: 4 x 32 tokens" in done.stderr
    assert "blockwise" in done.stdout


@pytest.mark.parametrize("is_toy", [True, False])
def test_every_part_gives_its_script_options_that_it_has(parts, is_toy):
    commands = {"train_step": "TrainStep", "decode": "Decode", "attention": "Attention"}
    given = {}
    for name, part in parts.make_parts(is_toy).items():
        stem = os.path.basename(part.words[0]).removesuffix(".py")
        if stem in commands:
            command = getattr(importlib.import_module(stem), commands[stem])
            given[name] = tyro.cli(command, args=part.words[1:])
            assert given[name].dtype == "bfloat16"
            assert given[name].json
    assert len(given) == (4 if is_toy else 6)
    assert given["decoding greedy"].beam_size == 1
    assert given["decoding beam 4"].beam_size == 4
    assert given["training"].size == ("toy" if is_toy else "big")
    assert (parts.REPOSITORY / parts.KERNEL_TESTS).is_file()


def test_all_parts_take_at_most_eight_minutes_and_reach_the_longest_sequences(parts):
    full = parts.make_parts(False)
    assert sum(part.seconds for part in full.values()) <= 8 * 60
    lengths = [length for group in parts.LENGTHS for length in group]
    assert lengths == [2**power for power in range(5, 14)]


def test_a_part_that_fails_or_is_late_is_recorded_and_the_others_run(script, part, tmp_path):
    out, late = tmp_path / "figures.json", tmp_path / "late"
    chosen = {
        "late": part(STARTS_ANOTHER.format(path=str(late)), seconds=1.0),
        "wrong": part("import sys; sys.exit('error: there is no memory')"),
        "silent": part("pass"),
        "fine": part("print([7])"),
    }
    started = time.perf_counter()
    record = script.measure(chosen, script.Accelerator(out))
    assert json.loads(out.read_text("utf-8")) == record
    found = record["parts"]
    statuses = {name: each["status"] for name, each in found.items()}
    assert statuses == {
        "late": "out of time",
        "wrong": "failed",
        "silent": "failed",
        "fine": "done",
    }
    assert found["late"]["reason"] == "it was ended after 1 s"
    assert found["late"]["result"] == 5
    assert found["wrong"]["reason"] == "there is no memory"
    assert "cannot be read" in found["silent"]["reason"]
    assert found["fine"]["result"] == [7]
    assert "reason" not in found["fine"]
    # What the late part started is ended too.
    time.sleep(max(0.0, started + 3.5 - time.perf_counter()))
    assert not late.exists()


def test_the_file_is_whole_while_a_part_runs(script, part, tmp_path):
    out = tmp_path / "figures.json"
    chosen = {"first": part("print(3)"), "second": part(f"print(open({str(out)!r}).read())")}
    seen = script.measure(chosen, script.Accelerator(out))["parts"]["second"]["result"]
    assert seen["parts"]["first"]["result"] == 3
    assert seen["parts"]["second"]["status"] == "not run"
    assert os.listdir(tmp_path) == ["figures.json"]


def test_time_that_is_left_goes_to_the_next_part(script, part, tmp_path, capsys):
    chosen = {"first": part("print(3)", 20.0), "second": part("print(3)", 10.0)}
    script.measure(chosen, script.Accelerator(tmp_path / "figures.json"))
    progress = capsys.readouterr().err
    first, second = re.findall(r"part ./2, \w+, at most (\d+) s", progress)
    assert int(first) == 20
    assert 20 < int(second) <= 30


def test_the_table_and_the_exit_code_say_what_is_not_done(
    script, part, tmp_path, monkeypatch, capsys
):
    chosen = {"device": part('print(\'{"device": "abacus"}\')'), "wrong": part("exit('broken')")}
    monkeypatch.setattr(script, "make_parts", lambda is_toy: chosen)
    with pytest.raises(SystemExit) as ended:
        script.Accelerator(tmp_path / "figures.json").run()
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "{'device': 'abacus'} on abacus" in printed
    assert "broken" in printed


def test_an_interruption_ends_the_running_part(script, tmp_path, monkeypatch):
    limited = importlib.import_module("limited_process")
    monkeypatch.setattr(limited, "SECONDS_OF_A_BEAT", 0.5)
    late = tmp_path / "late"

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        limited.run_limited(["-c", STARTS_ANOTHER.format(path=str(late))], 30.0, interrupt)
    time.sleep(2.5)
    assert not late.exists()


def test_utilization_is_given_only_if_the_peak_is_known(parts):
    data = {"results": [{"flops": 3e14, "seconds": {"median": 0.5}}]}
    speed = parts.training_speed(data, "NVIDIA A100-SXM4-80GB")
    assert speed["flops_per_second"] == 6e14
    assert speed["model_flop_utilization"] == 6e14 / 312e12
    assert "datasheet" in speed["peak"]["source"]
    assert parts.training_speed(data, "abacus") == {"flops_per_second": 6e14}
    headline = parts.make_parts(False)["training"].headline
    assert headline(data, "abacus") == "600 TFLOP/s"
    assert headline(data, "NVIDIA A100-SXM4-80GB") == "model FLOP utilization 192.3%"


def test_failing_tests_are_named_beside_the_closing_line(parts):
    printed = "..F\nFAILED tests/a.py::test_b[c] - x\n=== 1 failed, 2 passed in 3.10s ===\n"
    assert parts.read_tests(printed) == {
        "closing_line": "1 failed, 2 passed in 3.10s",
        "failed_tests": ["tests/a.py::test_b[c]"],
    }
    with pytest.raises(ValueError, match="no closing line"):
        parts.read_tests("Killed\n")


def test_the_driver_is_described_where_there_is_one(script, tmp_path, monkeypatch):
    circumstances = importlib.import_module("circumstances")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert circumstances.accelerator()["nvidia_smi"] == []
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho name, driver_version\necho NVIDIA H200, 570\n")
    tool.chmod(0o755)
    described = circumstances.accelerator()
    assert described["nvidia_smi"] == ["name, driver_version", "NVIDIA H200, 570"]
    assert described["versions"]["jaxlib"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "kernel", "--out", "x.json"], "unknown --only 'kernel': did you mean"),
        (["--out", "nowhere/x.json"], "no folder nowhere for the figures x.json"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(script, words, message):
    assert_refuses(script.Accelerator, words, message)
