import socket

import pytest
from small import make_experiment

from flax_transformer import cli
from flax_transformer.experiment import write_experiment
from flax_transformer.training import processes
from flax_transformer.training.processes import check_same, from_first, gathered, together


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_experiment(folder / "experiment.json", make_experiment(folder))
    return ["train", str(folder / "experiment.json"), "--workdir", str(folder / "run")]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--num-processes", "2"], "--num-processes needs --coordinator HOST:PORT"),
        (["--process-id", "0"], "--process-id needs --coordinator HOST:PORT"),
        (["--coordinator", "a:1"], "--coordinator needs --num-processes, --process-id"),
        (
            ["--coordinator", "a:1", "--num-processes", "2", "--process-id", "2"],
            "--process-id must be at most 1, not 2",
        ),
        (
            ["--coordinator", "a:1", "--num-processes", "0", "--process-id", "0"],
            "--num-processes must be at least 1, not 0",
        ),
        (
            ["--coordinator", "node-0", "--num-processes", "2", "--process-id", "0"],
            "--coordinator 'node-0' is not HOST:PORT, such as node-0:29500",
        ),
        (
            [
                *["--coordinator", "a:1", "--num-processes", "2", "--process-id", "0"],
                "--distributed",
            ],
            "--distributed finds what --coordinator gives: leave one out",
        ),
        (
            ["--coordinator", "a:99999", "--num-processes", "2", "--process-id", "0"],
            "the port of --coordinator must be at most 65,535, not 99999",
        ),
        (["--cordinator", "a:1"], "unknown option '--cordinator': did you mean '--coordinator'?"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(words, capsys, options, line):
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, *options])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {line}\n"


def test_without_a_cluster_the_options_are_named(words, capsys, monkeypatch):
    def find_none(*_, **__):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(processes.jax.distributed, "initialize", find_none)
    with pytest.raises(SystemExit):
        cli.main([*words, "--distributed"])
    assert capsys.readouterr().err == (
        "error: --distributed found no cluster (coordinator_address should be defined.): give "
        "--coordinator HOST:PORT, --num-processes N and --process-id I\n"
    )


def test_one_process_agrees_with_itself():
    assert gathered([3]) == [[3]]
    assert from_first(socket.gethostname) == socket.gethostname()
    check_same({"seed": 3})
    with pytest.raises(ZeroDivisionError), together(first_before_others=True):
        raise ZeroDivisionError
