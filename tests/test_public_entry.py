"""Holds `import flax_transformer as ft`: light, complete, and known to type checkers."""

import ast
import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from small import make_experiment

import flax_transformer as ft
from flax_transformer.tasks.tasks import TASKS


def names_for_type_checkers(package) -> dict[str, str]:
    """Name -> home, of the imports that only type checkers and editors run."""
    (block,) = (
        node
        for node in ast.parse(Path(package.__file__).read_text("utf-8")).body
        if isinstance(node, ast.If)
    )
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    named = [(alias.name, node.module) for node in imports for alias in node.names]
    # Of `from flax_transformer import data` the home is the subpackage itself.
    return {
        name: f"{home}.{name}" if home == package.__name__ else str(home) for name, home in named
    }


LAZY = [ft, ft.tasks, ft.training, ft.visualization]


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_type_checkers_know_the_names_that_are_imported_when_used(package):
    homes = {name: package.__name__ + home for name, home in package._HOMES.items()}
    assert names_for_type_checkers(package) == homes
    assert list(homes) == sorted(homes, key=str.lower)
    assert set(homes) <= set(dir(package))
    for name, home in homes.items():
        module = importlib.import_module(home)
        found = module if home.endswith(f".{name}") else vars(module)[name]
        assert getattr(package, name) is found


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="'flax_transformer' has no attribute 'Experimnt'"):
        ft.Experimnt  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_the_import_brings_in_only_python():
    script = "import sys, flax_transformer; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    ours = {name for name in done.stdout.split() if name.startswith("flax_transformer")}
    assert ours == {"flax_transformer", "flax_transformer.lazy_names"}
    assert not {"jax", "numpy", "flax", "rich"} & set(done.stdout.split())


def test_every_config_of_an_experiment_is_there():
    fields = {
        type(getattr(ft.Experiment(), field.name)) for field in dataclasses.fields(ft.Experiment)
    }
    tasks = {config for task in TASKS.values() for config in (task.config, *task.reads)}
    models = {type(entry.model.config) for entry in ft.models.ZOO.values()}
    inner = {
        type(field.default) for config in tasks | models for field in dataclasses.fields(config)
    }
    configs = filter(dataclasses.is_dataclass, fields | tasks | models | inner)
    found = {config.__name__: config for config in configs}
    assert len(found) > 15
    assert {name: getattr(ft, name) for name in found} == found


def test_a_notebook_trains_scores_and_loads_without_a_console(tmp_path, capsys):
    experiment = make_experiment(tmp_path)
    training = dataclasses.replace(experiment.training, num_steps=4, log_every_steps=2)
    workdir = str(tmp_path / "run")
    ft.train(dataclasses.replace(experiment, training=training), workdir)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("step 4/4 ") for line in lines)
    assert not any("\x1b" in line for line in lines)
    record, scored = ft.evaluate(workdir)
    assert record.split == experiment.data.held_out_split
    assert record.command == ()
    assert len(scored.outputs) == 20
    ft.show_scores(record)
    assert "chrf" in capsys.readouterr().out
    assert isinstance(ft.load(workdir).translate("twenty two"), str)
    figure = ft.visualization.plot_curves({"run": f"{workdir}/metrics.jsonl"}, "chrf")
    assert figure.axes


SCRIPTS = {"normalization", "table3", "word_order"}  # these print tables of their own
EXPERIMENTS = sorted((Path(__file__).parent.parent / "experiments").glob("*.py"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_needs_one_import_of_the_package(path):
    tree = ast.parse(path.read_text("utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imports = [ast.unparse(node) for node in nodes]
    ours = [line for line in imports if "flax_transformer" in line]
    assert "import flax_transformer as ft" in ours
    if path.stem not in SCRIPTS:
        assert len(ours) == 1
        assert set(imports) - set(ours) <= {"import dataclasses"}
