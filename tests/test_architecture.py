"""Holds the rules of the design that no type checker can: who imports whom, and what is written."""

import ast
import collections
import dataclasses
import importlib
import inspect
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import flax_transformer
from flax_transformer import functional
from flax_transformer.experiment import Experiment
from flax_transformer.models import ZOO

ROOT = pathlib.Path(flax_transformer.__file__).parent


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
MODULES = {module_name(ROOT / path): ast.parse((ROOT / path).read_text("utf-8")) for path in FILES}

# A part imports itself and parts of the lines above its own.
LAYERS = [
    {"errors", "lazy_names", "runtime"},
    {"whole_files", "python_files"},
    {"functional"},
    {"modules"},
    {"models", "data", "decoding", "evaluation"},
    # Pictures of the wishes that positional schemes meet.
    {"visualization", "inspection"},
    {"tasks"},
    {"training", "experiment", "conventions", "presets"},
    {"console", "line_batches", "interchange", "serving"},
    {"commands", "option_values"},
    {"completion", "parser_messages"},
    {"cli", "flax_transformer"},
    {"__main__"},
]
# The only imports between parts of one line: an experiment is composed of training's configs too.
WITHIN_A_LAYER = {
    ("conventions", "flax_transformer.experiment"),
    ("presets", "flax_transformer.experiment"),
    ("experiment", "flax_transformer.training.training_config"),
    ("experiment", "flax_transformer.training.optimizer.optimizer_config"),
    ("training", "flax_transformer.experiment"),
}


def part(module: str) -> str:
    """Of flax_transformer.data.batches.buckets it is data; the package itself is one, too."""
    return module.split(".")[1] if "." in module else module


def layer(module: str) -> int:
    indices = [i for i, parts in enumerate(LAYERS) if part(module) in parts]
    assert indices, f"say in LAYERS what {part(module)} may import"
    return indices[0]


def imports(module: str) -> Iterator[str]:
    """Names the modules that a module imports, at its top or later."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from imports_of(node)


def imports_of(node: ast.ImportFrom) -> Iterator[str]:
    """Names the modules that `from MODULE import ...` imports."""
    assert node.module is not None
    for alias in node.names:
        inner = f"{node.module}.{alias.name}"
        yield inner if inner in MODULES else node.module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_one_way(module):
    for imported in set(imports(module)) & set(MODULES):
        assert (
            part(imported) == part(module)
            or layer(imported) < layer(module)
            or (part(module), imported) in WITHIN_A_LAYER
        ), f"{module} must not import {imported}"


@pytest.mark.parametrize(
    ("name", "libraries"),
    [("functional", {"flax"}), ("decoding", {"flax"}), ("data", {"flax", "jax"})],
)
def test_parts_for_any_framework_import_none(name, libraries):
    modules = [module for module in MODULES if part(module) == name]
    assert modules
    for module in modules:
        assert not {imported.split(".")[0] for imported in imports(module)} & libraries, module


@pytest.mark.parametrize(
    ("word", "home"),
    [
        ("cli", "flax_transformer.cli"),
        ("orbax", "flax_transformer.training.checkpoints.checkpoints"),
        ("pmap", "flax_transformer.training.parallel"),
    ],
)
def test_one_file_alone_knows_a_thing_that_may_be_replaced(word, home):
    users = {
        module
        for module, tree in MODULES.items()
        # `python -m flax_transformer` only calls the command line.
        if part(module) != "__main__"
        and any(word in name.split(".") for name in (*imports(module), *names(tree)))
    }
    assert users == {home}


def names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_files_are_named_after_what_is_in_them():
    assert not {module.split(".")[-1] for module in MODULES} & {
        "utils",
        "helpers",
        "misc",
        "common",
    }


def test_no_two_files_have_one_name():
    counts = collections.Counter(path.name for path in FILES)
    assert {name for name, count in counts.items() if count > 1} <= {"__init__.py"}


def imports_at_the_top(module: str) -> set[str]:
    """Our modules that a module imports before anything in it is called."""
    nodes = [node for node in MODULES[module].body if isinstance(node, ast.ImportFrom)]
    return {name for node in nodes for name in imports_of(node)} & set(MODULES)


def test_a_model_stands_on_few_files():
    closure, left = set[str](), {"flax_transformer.models.decoder_only"}
    while left:
        closure |= left
        left = {name for module in left for name in imports_at_the_top(module)} - closure
    assert len(closure) <= 28, sorted(closure)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_is_not_long(path):
    assert len((ROOT / path).read_text("utf-8").splitlines()) <= 300


def test_a_function_has_few_parameters():
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = [*node.args.posonlyargs, *node.args.args]
                # The options of a formula are named when they are given.
                if part(module) not in ("functional", "decoding"):
                    given += node.args.kwonlyargs
                names = [argument.arg for argument in given if argument.arg not in ("self", "cls")]
                assert len(names) <= 7, f"{module}.{node.name}"


# What one adds to; tests/test_one_place.py adds an entry to each.
REGISTRIES = {
    *("ACTIVATIONS", "COMMANDS", "CONVENTIONS", "DATASETS", "FAMILIES", "FEED_FORWARDS", "KERNELS"),
    *("LENGTH_PENALTIES", "METRICS", "NORMS", "OPTIMIZERS", "POOLINGS", "SCHEMES", "TASKS", "ZOO"),
}


def test_there_are_few_registries():
    assert len(REGISTRIES) <= 15
    found = set[str]()
    for module in MODULES.keys() - {"flax_transformer.__main__"}:
        for name, value in vars(importlib.import_module(module)).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, dict) and value:
                # Other dictionaries are plain data, such as check sums.
                plain = (str, int, float, tuple, list, set, frozenset, dict)
                if not all(type(entry) in plain for entry in value.values()):
                    found.add(name)
    assert found | {"COMMANDS"} == REGISTRIES


def configs(config: type) -> Iterator[type]:
    yield config
    for field in dataclasses.fields(config):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from configs(field.type)


ZOO_CONFIGS = dict.fromkeys(type(vars(entry.model)["config"]) for entry in ZOO.values())
CONFIGS = [*configs(Experiment), *ZOO_CONFIGS]


@pytest.fixture(scope="module")
def reads() -> re.Pattern[str]:
    """Matches what the package reads: attributes, and names given to getattr."""
    patterns = set()
    for tree in MODULES.values():
        for node in without_checks(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                patterns.add(node.attr)
            elif isinstance(node, ast.Tuple):
                strings = {str(x.value) for x in node.elts if isinstance(x, ast.Constant)}
                patterns |= set(filter(str.isidentifier, strings))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr":
                patterns |= {formatted(x) for x in node.args if isinstance(x, ast.JoinedStr)}
    return re.compile("|".join(patterns))


def without_checks(node: ast.AST) -> Iterator[ast.AST]:
    """Walks a tree, but not into `__post_init__`, which reads a field only to refuse its value."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.FunctionDef) and child.name == "__post_init__"):
            yield from without_checks(child)


def formatted(string: ast.JoinedStr) -> str:
    """The names an f-string can make: f"{split}_source" gives \\w+_source."""
    return "".join(
        str(piece.value) if isinstance(piece, ast.Constant) else r"\w+" for piece in string.values
    )


@pytest.mark.parametrize(
    ("config", "field"),
    [(config, field.name) for config in CONFIGS for field in dataclasses.fields(config)],
)
def test_every_field_of_a_config_is_read(reads, config, field):
    assert reads.fullmatch(field), f"nothing reads {config.__name__}.{field}"


SECTIONS = ["Args", "Returns", "Raises", "Example", "Reference"]
FUNCTIONS = [
    function
    for function in map(functional.__dict__.get, functional.__all__)
    if callable(function) and not isinstance(function, type)
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_public_function_is_documented(function: Callable):
    doc = inspect.getdoc(function) or ""
    assert re.match(r"[A-Z].*\.\n\n", doc), "begin with one sentence"
    headings = re.findall(rf"^({'|'.join(SECTIONS)}):$", doc, re.MULTILINE)
    assert headings == [section for section in SECTIONS if section in headings]
    assert {"Args", "Returns", "Example"} <= set(headings)
    assert ">>> " in doc.partition("Example:")[2]
    described = re.findall(r"^    \*?(\w+): ", doc.partition("Returns:")[0], re.MULTILINE)
    assert described == list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("modules", "libraries"),
    [
        ("flax_transformer", {"tensorflow_datasets", "grain", "matplotlib", "tensorflow"}),
        ("flax_transformer.functional", {"flax"}),
        ("flax_transformer.decoding", {"flax"}),
        ("flax_transformer.visualization", {"flax", "matplotlib"}),
        (", ".join(sorted(MODULES)), {"tensorflow"}),
    ],
    ids=["package", "functional", "decoding", "visualization", "everything"],
)
def test_an_import_does_not_bring_in_what_it_does_not_need(modules, libraries):
    script = f"import sys, {modules}; print(*sys.modules, sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not set(result.stdout.splitlines()) & libraries


# Of this file: the package may be installed elsewhere.
REPOSITORY = pathlib.Path(__file__).parents[1]
PAGES = [REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_names_files_that_exist(page):
    named = re.findall(r"`([\w./]+/|[\w./]+\.py)`", page.read_text("utf-8"))
    for name in named:
        # A name to be replaced, such as NN_name.py.
        if not re.search("NN_|NAME", name):
            assert any((place / name).exists() for place in (ROOT, REPOSITORY)), name
    for target in re.findall(r"\]\(([^):#]+)[^):]*\)", page.read_text("utf-8")):
        # Pages that are made as the site is built; tests/test_docs.py follows links to them.
        if not re.search(r"(^|/)api/|\.ipynb$", target):
            assert (page.parent / target).exists(), target


def test_how_to_contribute_is_short_and_true():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    assert len(text.splitlines()) <= 120
    listed = re.findall(r"`([A-Z_]+)` in `([\w/.]+)`", text)
    here = re.findall(r"`([\w/.]+\.py)` \| `([A-Z_]+)` there", text)
    listed += [(name, path) for path, name in here]
    assert {name for name, _ in listed} == REGISTRIES
    for name, path in listed:
        assert name in vars(importlib.import_module(module_name(ROOT / path))), (name, path)


def test_few_files_lead_from_a_line_of_text_to_the_loss():
    text = (REPOSITORY / "docs" / "design" / "spine.md").read_text("utf-8")
    steps = re.findall(r"^\d+\. `(\w[\w/.]+)`: .+\.$", text, re.M)
    assert 0 < len(steps) <= 14
    assert all((ROOT / step).is_file() for step in steps)
