"""Reads docstrings as they are meant: plain text with formulas, not reStructuredText."""

import functools
import re
from typing import Any

import api_pages
import formulas
from docutils import nodes

# A section of Google's style, or the first line of one.
SECTION = re.compile(
    r"^(Args|Module parameters|Attributes|Returns|Raises|Yields|Example|Examples|Reference|Note):$"
)
# A character that reStructuredText would read as markup.
MARKUP = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")
# Code in single backticks, which stays as it is.
CODE = re.compile(r"`([^`]*)`")
# Where JAX defines its arrays.
HOME = re.compile(r"\b(?:jaxlib|jax)\.(?:\w+\.)*(?=Array\b)")
# Napoleon would take what is before a colon for the type of a result. Until then it is this.
COLON = "\N{SMALL COLON}"
DOCTEST = re.compile(r"\s*>>> ")


def mark_up(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrites the lines of a docstring in place."""
    marked: list[str] = []
    in_sections = False
    for paragraph in _paragraphs(lines):
        # Those of a linen module; its arguments are attributes.
        if paragraph[0] == "Parameters:":
            paragraph[0] = "Module parameters:"
        if paragraph[0] in ("Returns:", "Yields:"):
            paragraph[1] = paragraph[1].replace(":", COLON)
        in_sections = in_sections or bool(SECTION.match(paragraph[0]))
        if marked and not in_sections and is_formula(paragraph):
            marked += _shown(paragraph)
        else:
            marked += _escaped(paragraph)
        marked.append("")
    # Without an empty comment first, napoleon would take "words:" for the type of an attribute.
    lines[:] = ["..", "", *marked] if what in ("attribute", "property") else marked


def _shown(paragraph: list[str]) -> list[str]:
    """A formula as mathematics, or its lines as they are if they hold more than that."""
    mathematics = formulas.to_mathml(paragraph)
    if mathematics is not None:
        return [".. raw:: html", "", f'   <div class="formula">{mathematics}</div>']
    return [".. code-block:: text", "   :class: formula", "", *(f"   {one}" for one in paragraph)]


def is_formula(paragraph: list[str]) -> bool:
    """Whether lines are a formula: text ends with a full stop, and a list begins with a dash."""
    first, last = paragraph[0].strip(), paragraph[-1].strip()
    return not last.endswith((".", ":", "?", ")!")) and not first.startswith(("- ", "1. ", ">>>"))


def skip_member(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out fields of named tuples, which the class describes."""
    text = getattr(obj, "__doc__", None) or ""
    return True if text.startswith("Alias for field number") else None


def shorten_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Leaves out the home of arrays, and what linen adds to the arguments of every module."""
    if not signature:
        return None
    signature, returned = (HOME.sub("", text or "") for text in (signature, returned))
    return re.sub(r", parent: .*, name: str \| None = None\)$", ")", signature), returned


def set_signs(app: Any, doctree: Any) -> None:
    """Sets the dash between an argument and its meaning, and colons that napoleon must not read."""
    for text in list(doctree.findall(nodes.Text)):
        written = text.astext()
        meant = " – " if written == " -- " else written.replace(COLON, ":")
        if meant != written:
            text.parent.replace(text, nodes.Text(meant))


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Cuts lines at empty ones."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return [paragraph for paragraph in paragraphs if paragraph]


def _escaped(paragraph: list[str]) -> list[str]:
    """Takes characters for themselves, code for code, and lines with dashes for a list."""
    lines: list[str] = []
    doctest = next((n for n, line in enumerate(paragraph) if DOCTEST.match(line)), len(paragraph))
    text, code = "\n".join(paragraph[:doctest]), paragraph[doctest:]
    parts = CODE.split(text)
    for place in range(0, len(parts), 2):
        parts[place] = MARKUP.sub(lambda found: f"\\{found[0]}", parts[place])
    for place in range(1, len(parts), 2):
        # A letter right after code needs a mark between them.
        parts[place] = _code(parts[place]) + "\\ " * parts[place + 1][:1].isalnum()
    for line in "".join(parts).splitlines():
        if line.lstrip().startswith("- ") and not any(o.lstrip().startswith("- ") for o in lines):
            lines.append("")
        lines.append(line)
    return lines + code


def _code(name: str) -> str:
    """A link if this is the name of one part of the package, else what it is."""
    first, dot, member = name.removeprefix("ft.").removeprefix("functional.").partition(".")
    path = _paths().get(first)
    if path is None or not re.fullmatch(r"[\w.]+", name):
        return f"``{name}``"
    return f":py:obj:`{name} <{path}{dot}{member}>`"


@functools.cache
def _paths() -> dict[str, str]:
    """Maps the names that only one part of the package has to their full paths."""
    paths: dict[str, list[str]] = {}
    for entry in api_pages.public_entries():
        paths.setdefault(entry.name.rpartition(".")[2], []).append(entry.name)
    return {name: found[0] for name, found in paths.items() if len(found) == 1}
