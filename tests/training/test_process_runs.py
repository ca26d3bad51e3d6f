"""Trainings of several processes, by the command line that their users give."""

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reference import assert_close
from small import make_experiment, with_fields

from flax_transformer.experiment import write_experiment
from flax_transformer.training.checkpoints.workdir import Workdir


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    made = make_experiment(folder)
    model = dataclasses.replace(
        made.model, d_model=16, d_ff=16, num_heads=2, residual_dropout_rate=0.1
    )
    made = with_fields(
        dataclasses.replace(made, model=model),
        "training",
        num_steps=4,
        checkpoint_every_steps=2,
        evaluate_every_steps=4,
        log_every_steps=1,
        accumulate_steps=2,
    )
    # Rows that no number of devices divides.
    made = with_fields(made, "data", tokens_per_batch=331)
    write_experiment(folder / "experiment.json", made)
    return folder / "experiment.json"


def start(experiment, workdir, options, num_devices):
    """Starts one process, which says everything in one stream; it evaluates without experiment."""
    command = ["evaluate"] if experiment is None else ["train", str(experiment)]
    command += ["--workdir", str(workdir), *options]
    own = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "JAX_NUM_CPU_DEVICES": str(num_devices),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",  # XLA's notes on its partitioning
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flax_transformer", *command],
        env=os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_all(experiment, workdirs, *options, own_options=((), ()), num_devices=2):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    joined = ("--coordinator", f"localhost:{port}", "--num-processes", str(len(workdirs)))
    return [
        start(
            experiment,
            workdir,
            [*joined, "--process-id", str(number), *options, *own_options[number]],
            num_devices,
        )
        for number, workdir in enumerate(workdirs)
    ]


# What the library of CPUs' sums prints, in pieces that several threads mix.
GLOO = re.compile(
    r"\[Gloo\] Rank|is connected to|peer ranks\.|Expected number of connected peer ranks is :|\d|\s"
)


def ended(processes):
    """Returns exit code and output of each, without lines of the library of CPUs' sums."""
    said = [process.communicate(timeout=150)[0] for process in processes]
    own = [
        "".join(line for line in text.splitlines(keepends=True) if GLOO.sub("", line))
        for text in said
    ]
    return [(process.returncode, text) for process, text in zip(processes, own, strict=True)]


def losses(workdir):
    lines = map(json.loads, Workdir(workdir).metrics.read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "train"]


def scores(workdir):
    (path,) = Workdir(workdir).scores.glob("*.json")
    return {name: score["value"] for name, score in json.loads(path.read_text())["scores"].items()}


@pytest.fixture(scope="module")
def alone(experiment, tmp_path_factory) -> Path:
    """The workdir of one process with four devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    mesh = ["--training.mesh", "data=2,fsdp=2"]
    ((code, said),) = ended([start(experiment, workdir, mesh, num_devices=4)])
    assert code == 0, said
    return workdir


def test_two_processes_give_what_one_gives_also_if_another_number_continues(
    experiment, alone, tmp_path
):
    run = tmp_path / "run"
    mesh = ("--training.mesh", "data=2,fsdp=2", "--training.num-steps")
    (code, said), (other_code, other_said) = ended(start_all(experiment, [run] * 2, *mesh, "2"))
    assert (code, other_code) == (0, 0), said + other_said
    assert other_said == ""
    assert said.count("step 2/2") == 1
    # One process on one device, on another mesh, and two processes again.
    ((code, said),) = ended([start(experiment, run, ["--training.num-steps", "3"], 1)])
    assert code == 0, said
    (code, said), _ = ended(start_all(experiment, [run] * 2, *mesh, "4"))
    assert code == 0, said
    assert "continuing after step 3" in said
    assert_close(losses(run), losses(alone), 1e-5)
    (path,) = Workdir(run).scores.glob("*.txt")
    assert path.read_text() == (Workdir(alone).scores / path.name).read_text()
    assert_close(list(scores(run).values()), list(scores(alone).values()), 1e-4)
    assert not list(run.glob(".shared*"))


def test_two_processes_score_what_one_scores(alone):
    before = scores(alone)
    ends = ended(start_all(None, [alone] * 2, "--json"))
    assert [code for code, _ in ends] == [0, 0], ends
    found = json.loads(ends[0][1])["scores"]
    assert ends[1][1] == ""
    for name, value in before.items():
        assert_close(found[name]["value"], value, 1e-4)


def test_adapters_in_two_processes_are_those_of_one(experiment, alone, tmp_path):
    options = ["--init-from", str(alone), "--training.lora.rank", "2"]
    options += ["--training.mesh", "data=2,fsdp=2", "--training.keep-checkpoints", "2"]
    several = start_all(experiment, [tmp_path / "several"] * 2, *options)
    ends = ended([*several, start(experiment, tmp_path / "one", options, 4)])
    assert [code for code, _ in ends] == [0, 0, 0], ends
    assert_close(losses(tmp_path / "several"), losses(tmp_path / "one"), 1e-5)
    # Of the mean of two checkpoints, each merged with the base.
    found, expected = scores(tmp_path / "several"), scores(tmp_path / "one")
    assert_close(list(found.values()), list(expected.values()), 1e-4)


def test_updates_that_are_not_finite_end_all_processes_with_one_report(experiment, tmp_path):
    options = ("--optimizer.learning-rate", "1e38", "--training.max-skipped", "2")
    ends = ended(start_all(experiment, [tmp_path / "run"] * 2, *options))
    assert [code for code, _ in ends] == [2, 2], ends
    (line,) = {said.splitlines()[-1] for _, said in ends}
    assert "not finite in 2 updates in a row, from step" in line
    (folder,) = (tmp_path / "run" / "not_finite").iterdir()
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    # Computed again by both processes.
    assert {report["loss"], report["gradient_norm"]} & {"nan", "inf"}
    assert report["examples"]


def wait_for_step(processes, workdir, step):
    """Waits until so many updates are written down."""
    while not Workdir(workdir).metrics.exists() or len(losses(workdir)) < step:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


LONG = ("--training.num-steps", "100000", "--training.evaluate-every-steps", "100000")


def test_a_signal_to_one_process_stops_all_after_the_same_saved_step(experiment, tmp_path):
    run = tmp_path / "run"
    processes = start_all(experiment, [run] * 2, *LONG)
    wait_for_step(processes, run, 3)
    processes[1].send_signal(signal.SIGTERM)
    ends = ended(processes)
    assert [code for code, _ in ends] == [143, 143], ends
    steps = {
        tuple(re.findall(r"interrupted after step ([\d,]+), which is saved", said))
        for _, said in ends
    }
    ((step,),) = steps
    assert Workdir(run).saved_steps()[-1] == int(step.replace(",", ""))


@pytest.mark.parametrize("killed", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_if_one_process_is_killed_the_others_end(experiment, tmp_path, killed):
    run = tmp_path / "run"
    processes = start_all(experiment, [run] * 2, *LONG)
    wait_for_step(processes, run, 5)
    processes[killed].kill()
    killed_at = time.monotonic()
    left = 1 - killed
    assert processes[left].wait(60) != 0
    assert time.monotonic() - killed_at < 60
    said = ended(processes)[left][1]
    # A sum over devices may fail, or wait until the process counts as dead.
    if killed == 1:
        assert re.search(
            "process 1 (has not answered for 10 s: if it was killed|does not answer)", said
        )
        assert "Traceback" not in said
    assert not list(run.glob("**/.*unfinished"))
    # The last checkpoint is whole: the run continues from it.
    step = max(Workdir(run).saved_steps()) + 2
    options = ["--training.num-steps", str(step), *LONG[2:]]
    (experiment_now,) = run.glob("experiment.json")
    kept = json.loads(experiment_now.read_text())
    kept["training"]["num_steps"] = step
    experiment_now.write_text(json.dumps(kept))
    ((code, said),) = ended([start(experiment, run, options, 4)])
    assert code == 0, said
    assert f"continuing after step {step - 2}\n" in said


def test_a_mistake_ends_all_processes_with_the_same_line(experiment, tmp_path):
    options = ("--data.train-source", str(tmp_path / "nowhere.txt"))
    first, second = ended(start_all(experiment, [tmp_path / "run"] * 2, *options))
    assert first == second
    assert first[0] == 2
    assert re.fullmatch(r"error: .*nowhere\.txt.*\n", first[1])
    assert not (tmp_path / "run").exists()


def test_processes_with_different_commands_end_with_the_option_that_differs(experiment, tmp_path):
    own = ((), ("--seed", "3"))
    ends = ended(start_all(experiment, [tmp_path / "run"] * 2, own_options=own))
    line = "error: --seed is 0 in process 0, but 3 in process 1: give all the same command\n"
    assert ends == [(2, line)] * 2


def test_a_workdir_that_is_not_shared_is_refused(experiment, tmp_path):
    ends = ended(start_all(experiment, [tmp_path / "run", tmp_path / "other"]))
    for code, said in ends:
        assert code == 2
        assert re.fullmatch(
            rf"error: process 1 on .* cannot see the --workdir {tmp_path}/run of process 0: mount "
            "one folder on all hosts\n",
            said,
        )


def test_a_port_that_is_in_use_is_refused(experiment, tmp_path):
    with socket.socket() as used:
        used.bind(("", 0))
        used.listen()
        where = f"localhost:{used.getsockname()[1]}"
        options = ["--coordinator", where, "--num-processes", "2", "--process-id", "0"]
        ((code, said),) = ended([start(experiment, tmp_path / "run", options, 1)])
    assert code == 2
    assert re.fullmatch(f"error: port [0-9]+ of --coordinator {where} cannot be used .*\n", said)
