"""Reads docstrings as they are meant: plain text with formulas, not reStructuredText."""

import re
from typing import Any

import formulas

# A section of Google's style, or the first line of one.
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Example|Examples|Reference|Note):$")
# A character that reStructuredText would read as markup.
MARKUP = re.compile(r"[*|\\]|(?<=\w)_(?!\w)")
# Code in single backticks, which stays as it is.
CODE = re.compile(r"(`[^`]*`)")


def mark_up(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrites the lines of a docstring in place."""
    marked: list[str] = []
    in_sections = False
    for paragraph in _paragraphs(lines):
        in_sections = in_sections or bool(SECTION.match(paragraph[0]))
        if marked and not in_sections and is_formula(paragraph):
            marked += _shown(paragraph)
        elif paragraph[0].lstrip().startswith(">>>"):
            marked += paragraph
        else:
            marked += _escaped(paragraph)
        marked.append("")
    lines[:] = marked


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
    """Leaves out what linen adds to the arguments of every module."""
    if what != "class" or not signature:
        return None
    return re.sub(r", parent: .*, name: str \| None = None\)$", ")", signature), returned


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
    """Takes characters for themselves outside of code and of doctests."""
    is_code = is_list = False
    lines: list[str] = []
    for line in paragraph:
        is_code = is_code or line.lstrip().startswith(">>>")
        if line.lstrip().startswith("- ") and lines and not is_list:
            lines.append("")
        is_list = is_list or line.lstrip().startswith("- ")
        parts = [line] if is_code else CODE.split(line)
        lines.append(
            line
            if is_code
            else "".join(
                part if part.startswith("`") else MARKUP.sub(lambda found: f"\\{found[0]}", part)
                for part in parts
            )
        )
    return lines
