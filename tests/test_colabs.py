"""Holds what the notebooks promise: they run as they are, and have no logic of their own."""

import ast
import configparser
import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

import flax_transformer

ROOT = Path(__file__).parent.parent
COLABS = ROOT / "colabs"
SOURCES = sorted(COLABS.glob("*.py"))
SECONDS = 120

setup = configparser.ConfigParser()
setup.read(ROOT / "setup.cfg")
# The one place where the repository's address is to be changed first.
URL = setup["metadata"]["url"]
INSTALL = f"""\
# Installs the package where it is missing, as on a new Colab.
import importlib.util

if importlib.util.find_spec("flax_transformer") is None:
    print("installing flax_transformer ...")
    %pip install --quiet git+{URL}"""
INSTALL_WITH_IMAGES = f"""\
# Installs what is missing, as on a new Colab: the package, and scikit-learn, which has the images.
import importlib.util

sources = {{
    "flax_transformer": "git+{URL}",
    "sklearn": "scikit-learn",
}}
missing = [source for name, source in sources.items() if importlib.util.find_spec(name) is None]
if missing:
    print("installing", *missing, "...")
    %pip install --quiet {{" ".join(missing)}}"""
INSTALLATIONS = {"05_beyond_text": INSTALL_WITH_IMAGES}

# What notebooks define, which else only import: this one shows how to write a loop and a module.
DEFINED = {
    "06_use_in_your_project": {
        *("draw_batch", "forward", "mean_loss", "train_step", "Backwards", "__call__"),
        *("sum_loss", "mean_gradient", "update"),
    }
}
LOOPS = {"06_use_in_your_project": 2}

# Short ones that run on every supported set of versions.
PLATFORMS = ("02_attention", "06_use_in_your_project")
every_notebook = pytest.mark.parametrize("source", SOURCES, ids=[path.stem for path in SOURCES])


def badge(stem: str) -> str:
    colab = "https://colab.research.google.com"
    address = URL.removeprefix("https://github.com/")
    return (
        f"[![Open in Colab]({colab}/assets/colab-badge.svg)]"
        f"({colab}/github/{address}/blob/main/colabs/{stem}.ipynb)"
    )


def read(source: Path) -> Any:
    """Reads the .ipynb beside a source."""
    nbformat = pytest.importorskip("nbformat", reason="needs the extra notebooks")
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def readers_environment() -> dict[str, str]:
    """That of somebody who has the package: without what the tests set for themselves."""
    ours = {"XLA_FLAGS", "NPROC", "JAX_COMPILATION_CACHE_DIR"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    # Where the tests have the package from, so that no notebook installs another one.
    home = str(Path(flax_transformer.__file__).parent.parent)
    # The command line of the same installation.
    programs = str(Path(sys.executable).parent)
    return kept | {
        "PYTHONPATH": os.pathsep.join([home, kept.get("PYTHONPATH", "")]),
        "PATH": os.pathsep.join([programs, kept.get("PATH", "")]),
    }


def processor_seconds() -> float:
    """What ended child processes, such as kernels, have taken."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            source, id=source.stem, marks=pytest.mark.platforms if source.stem in PLATFORMS else ()
        )
        for source in SOURCES
    ],
)
def test_a_notebook_runs_in_another_folder_without_a_complaint(source, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="needs the extra notebooks")
    pytest.importorskip("ipykernel", reason="needs the extra notebooks")
    if INSTALLATIONS.get(source.stem) == INSTALL_WITH_IMAGES:
        pytest.importorskip("sklearn", reason="needs the extra images")
    notebook = read(source)
    client = nbclient.NotebookClient(
        notebook, timeout=5 * SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    before = processor_seconds()
    client.execute(env=readers_environment())
    # Of one core: on a machine with nothing else to do the notebook takes no longer than this.
    assert 1 < processor_seconds() - before < SECONDS
    for cell in code(notebook):
        said = [
            output.text
            for output in cell.outputs
            if output.output_type == "stream"
            and (output.name == "stderr" or "Warning" in output.text)
        ]
        assert not said, cell.source
        shown = {kind for output in cell.outputs for kind in output.get("data", {})}
        if ends_in_call(cell.source, "ft.visualization.plot_"):
            assert "image/png" in shown, cell.source
        if ends_in_call(cell.source, "ft.view_attention"):
            assert "text/html" in shown, cell.source


def ends_in_call(cell: str, name: str) -> bool:
    """Whether a cell's value is what a function returns."""
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
    last = (ast.parse("\n".join(lines)).body or [None])[-1]
    return (
        isinstance(last, ast.Expr)
        and isinstance(last.value, ast.Call)
        and ast.unparse(last.value.func).startswith(name)
    )


def test_a_cell_that_shows_a_picture_is_known():
    assert ends_in_call("%matplotlib inline\nx = 1\nplot_mask(\n    x\n)", "plot_")
    assert not ends_in_call("figure = plot_mask(x)", "plot_")
    assert not ends_in_call("# nothing", "plot_")


@every_notebook
def test_a_notebook_is_what_jupytext_makes_of_its_source(source):
    jupytext = pytest.importorskip("jupytext", reason="needs the extra notebooks")
    made, kept = jupytext.read(source), read(source)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in made.cells
    ], f"jupytext --to ipynb --update colabs/{source.name}"
    assert kept.metadata.kernelspec == made.metadata.kernelspec
    for cell in code(kept):
        assert not cell.outputs
        assert cell.execution_count is None


@every_notebook
def test_a_notebook_begins_with_purpose_badge_and_installation(source):
    assert re.fullmatch(r"\d\d_[a-z_]+", source.stem)
    notebook = read(source)
    first, second = notebook.cells[:2]
    title, mark, purpose = first.source.split("\n\n")[:3]
    assert re.fullmatch(r"# .+", title)
    assert mark == badge(source.stem)
    assert purpose.endswith((".", "?"))
    assert second.source == INSTALLATIONS.get(source.stem, INSTALL)
    assert sum("%pip" in cell.source for cell in notebook.cells) == 1


@every_notebook
def test_a_notebook_has_no_logic_of_its_own(source):
    nodes = list(ast.walk(ast.parse(source.read_text("utf-8"))))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = {node.name for node in nodes if isinstance(node, definitions)}
    assert defined == DEFINED.get(source.stem, set())
    loops = [node for node in nodes if isinstance(node, ast.For | ast.While)]
    assert len(loops) == LOOPS.get(source.stem, 0)
    # The one `if` asks whether to install.
    assert sum(isinstance(node, ast.If | ast.Match | ast.Try) for node in nodes) == 1
    for node in nodes:
        if isinstance(node, ast.Lambda):
            assert len(ast.unparse(node)) < 80, ast.unparse(node)


@every_notebook
def test_a_notebook_imports_the_package_once_in_at_most_four_lines(source):
    tree = ast.parse(source.read_text("utf-8"))
    imports = [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        # In the first cell, which installs.
        and ast.unparse(node) != "import importlib.util"
    ]
    assert "import flax_transformer as ft" in imports
    assert len([line for line in imports if "flax_transformer" in line]) == 1
    assert len(imports) <= 4
    assert not any("," in line for line in imports)


@every_notebook
def test_every_picture_is_the_packages(source):
    nodes = list(ast.walk(ast.parse(source.read_text("utf-8"))))
    modules = {
        name
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
    }
    assert not [name for name in modules if name and name.startswith("matplotlib")]
    assert not [node for node in nodes if isinstance(node, ast.Name) and "plot" in node.id]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    drawn = {ast.unparse(node) for node in attributes if "plot" in node.attr}
    assert drawn
    for name in drawn:
        assert name.startswith("ft.visualization.plot_"), name


def test_devices_are_simulated_before_jax_is_imported():
    cells = [cell.source for cell in code(read(COLABS / "06_use_in_your_project.py"))]
    (flag,) = [place for place, cell in enumerate(cells) if "XLA_FLAGS" in cell]
    first = next(
        place for place, cell in enumerate(cells) if re.search(r"^import jax$", cell, re.M)
    )
    assert flag < first
    assert cells[flag].count("\n") == 1


@pytest.mark.parametrize("name", ["README.md", "colabs/README.md"])
def test_a_table_lists_every_notebook(name):
    assert len(SOURCES) >= 8
    readme = (ROOT / name).read_text("utf-8")
    # The badges of README.md have their addresses at its end, which keeps its rows short.
    for label, address in re.findall(r"^\[(\w+)\]: (.*)$", readme, re.M):
        readme = readme.replace(f"][{label}]", f"]({address})")
    rows = re.findall(r"^\| .* \| (\[!\[Open in Colab\].*?\)\]\(.*?\)) \|$", readme, re.M)
    assert rows == [badge(source.stem) for source in SOURCES]
    folder = "" if name.startswith("colabs/") else "colabs/"
    linked = re.findall(r"^\| \[(\d\d_\w+)\]\((.*?)\)", readme, re.M)
    assert linked == [(s.stem, f"{folder}{s.stem}.ipynb") for s in SOURCES]


def test_the_site_lists_every_notebook():
    page = (ROOT / "docs" / "notebooks" / "index.md").read_text("utf-8")
    linked = re.findall(r"^\| \[.*?\]\((.*?)\)", page, re.M)
    assert linked == [f"{source.stem}.ipynb" for source in SOURCES]


@every_notebook
def test_notebooks_point_to_notebooks_that_exist(source):
    for target in re.findall(r"\]\(([^):]+)\)", text(read(source))):
        assert (COLABS / target).is_file(), target
