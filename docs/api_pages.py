"""Pages of the API reference: every public function and class of the package, once."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from copied_pages import write_if_changed

PACKAGE = "flax_transformer"
# Title of a page -> the modules on it; a module that no page names is on the page of its folder.
FUNCTIONAL = {
    "Attention": ("attention", "heads"),
    "Masks, layout and caches": ("masks", "layout", "cache"),
    "Positions": ("positional", "relative", "rotary_scaling", "schemes"),
    "Projection, embedding, feed-forward": (
        "projection",
        "low_rank",
        "feed_forward",
        "experts",
        "normalization",
        "dropout",
    ),
    "Images and videos": ("patches", "pooling"),
    "Losses and ranking": ("losses", "ranking"),
}
# A folder of the package -> the title of its page, in the order of the reference.
FOLDERS = {
    "functional": "Other functions",
    "functional.kernels": "Kernels",
    "modules": "Modules",
    "models": "Models",
    "decoding": "Decoding",
    "data": "Data: configs",
    "data.datasets": "Data: data sets",
    "data.files": "Data: files",
    "data.tokens": "Data: tokens",
    "data.batches": "Data: batches",
    "data.checks": "Data: checks",
    "tasks": "Tasks",
    "tasks.translation": "Tasks: translation",
    "tasks.language_modeling": "Tasks: language modeling",
    "tasks.masked_language_modeling": "Tasks: masked language modeling",
    "tasks.classification": "Tasks: classification",
    "tasks.tagging": "Tasks: tagging",
    "tasks.text_embedding": "Tasks: vectors of texts",
    "inspection": "Inspection",
    "evaluation": "Evaluation",
    "training": "Training",
    "training.optimizer": "Training: optimizer",
    "training.checkpoints": "Training: checkpoints",
    "training.durability": "Training: durability",
    "training.planning": "Training: planning",
    "serving": "Serving",
    "visualization": "Visualization",
    "interchange": "Exchange of weights",
    "interchange.families": "Exchange of weights: families",
    "interchange.programs": "Exchange of weights: programs",
    "runtime": "Runtime",
    "commands": "Commands",
    "": "Command line, experiment, errors",
}


class Entry(NamedTuple):
    """A public function or class.

    Attributes:
        name: the shortest path from which it is imported.
        home: the module that defines it.
        is_class: whether it is a class.
    """

    name: str
    home: str
    is_class: bool


def public_entries() -> list[Entry]:
    """Finds every public function and class of the package, in the order of their files."""
    shortest = _exported_names()
    entries = []
    for module in _modules():
        for name, value in vars(module).items():
            if not name.startswith("_") and _is_defined_in(module, name, value):
                home = module.__name__
                path = shortest.get(f"{home}.{name}", f"{home}.{name}")
                entries.append(Entry(path, home, inspect.isclass(value)))
    return entries


def write_pages(folder: Path) -> None:
    """Writes the pages of the reference and their index."""
    folder.mkdir(exist_ok=True)
    pages: dict[str, dict[str, list[Entry]]] = {}
    for entry in public_entries():
        page = pages.setdefault(_page_of(entry.home), {})
        page.setdefault(entry.home, []).append(entry)
    titles = [*_order(pages)]
    texts = {_file_name(title): _page(title, pages[title]) for title in titles}
    texts["index.rst"] = _index(titles)
    for path in folder.glob("*.rst"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        write_if_changed(folder / name, text)


def _modules() -> Iterator[ModuleType]:
    root = importlib.import_module(PACKAGE)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{PACKAGE}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            yield importlib.import_module(found.name)


def _is_defined_in(module: ModuleType, name: str, value: object) -> bool:
    """Whether a module defines a function, compiled or not, or a class under this name."""
    is_documented = inspect.isclass(value) or (callable(value) and hasattr(value, "__wrapped__"))
    is_documented = is_documented or inspect.isfunction(value)
    own = getattr(value, "__module__", None) == module.__name__
    return is_documented and own and getattr(value, "__name__", None) == name


def _exported_names() -> dict[str, str]:
    """Maps the place of a definition to the shortest path that a package exports it from."""
    shortest: dict[str, str] = {}
    for module in _modules():
        if not hasattr(module, "__path__"):
            continue
        listed = getattr(module, "__all__", None)
        for name in listed if listed is not None else dir(module):
            value = None if name.startswith("_") else getattr(module, name)
            home, own = getattr(value, "__module__", None), getattr(value, "__name__", None)
            if own == name and isinstance(home, str) and home.startswith(PACKAGE):
                path = f"{module.__name__}.{name}"
                known = shortest.setdefault(f"{home}.{name}", path)
                if path.count(".") < known.count("."):
                    shortest[f"{home}.{name}"] = path
    return shortest


def _page_of(home: str) -> str:
    """Finds the title of the page that a module is on."""
    below = home.removeprefix(f"{PACKAGE}").removeprefix(".")
    folder, _, name = below.rpartition(".")
    if folder == "functional":
        for title, names in FUNCTIONAL.items():
            if name in names:
                return title
    for place in (below, folder):
        if place in FOLDERS:
            return FOLDERS[place]
    return folder.replace(".", ": ").replace("_", " ").capitalize()


def _order(pages: dict[str, dict[str, list[Entry]]]) -> Iterator[str]:
    known = [*FUNCTIONAL, *FOLDERS.values()]
    yield from (title for title in known if title in pages)
    yield from (title for title in pages if title not in known)


def _page(title: str, modules: dict[str, list[Entry]]) -> str:
    parts = [f"{title}\n{'=' * len(title)}"]
    for home, entries in modules.items():
        about = inspect.getdoc(importlib.import_module(home)) or ""
        heading = home.rpartition(".")[2].replace("_", " ").capitalize()
        parts.append(f"{heading}\n{'-' * len(heading)}")
        parts.append(f"``{home}``: {_plain(about)}")
        parts += [_directive(entry) for entry in entries]
    return "\n\n".join(parts) + "\n"


def _directive(entry: Entry) -> str:
    if not entry.is_class:
        return f".. autofunction:: {entry.name}"
    return (
        f".. autoclass:: {entry.name}\n   :members:\n   :special-members: __call__\n"
        "   :show-inheritance:"
    )


def _plain(text: str) -> str:
    """The first paragraph of a docstring, its code marked as literal."""
    first = " ".join(text.partition("\n\n")[0].split())
    return first.replace("`", "``").replace("*", r"\*").replace("|", r"\|")


def _file_name(title: str) -> str:
    letters = "".join(letter if letter.isalnum() else " " for letter in title.lower())
    return "_".join(letters.split()) + ".rst"


def _index(titles: list[str]) -> str:
    names = "\n".join(f"   {_file_name(title).removesuffix('.rst')}" for title in titles)
    ours = [entry.name for entry in public_entries() if entry.name.count(".") == 1]
    links = ",\n".join(f":py:obj:`ft.{name.partition('.')[2]} <{name}>`" for name in sorted(ours))
    return (
        "API reference\n=============\n\n"
        "Every public function and class of the package, by subject. ``import flax_transformer as "
        "ft`` gives the names that an experiment, a notebook or a script needs:\n\n"
        f"{links}.\n\n"
        "``ft.functional``, ``ft.modules``, ``ft.models``, ``ft.decoding``, ``ft.evaluation`` and "
        "``ft.visualization`` are its parts.\n\n"
        "Shapes of arrays are in the types: ``Float[Array, 'length d_model']`` is an array of "
        "floating-point numbers with two axes, ``Bool[Array, 'length']`` a row of booleans.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{names}\n"
    )
