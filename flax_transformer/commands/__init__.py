"""The commands: each is a file NAME_command.py here, with a class NAME.

Only the command that the user asks for is imported, so that nobody waits for the others.
"""

import ast
import importlib
from pathlib import Path

COMMANDS = (
    "train",
    "verify-resume",
    "evaluate",
    "translate",
    "generate",
    "classify",
    "fill",
    "score",
    "attention",
    "plot",
    "list",
    "positions",
    "conventions",
    "table3",
)


def find_command(name: str) -> type:
    """Imports a command.

    Example:
        >>> find_command("verify-resume").__name__
        'VerifyResume'
    """
    return getattr(importlib.import_module(f"{__name__}.{_module(name)}"), _class(name))


def read_description(name: str) -> str:
    """Reads what a command does from the docstring of its class, without an import.

    Example:
        >>> read_description("fill").splitlines()[0]
        'Fill the gaps of texts, or of the lines of standard input, one line out for each.'
    """
    source = Path(__file__).with_name(f"{_module(name)}.py").read_text(encoding="utf-8")
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return next(ast.get_docstring(node) or "" for node in classes if node.name == _class(name))


def _module(name: str) -> str:
    return f"{name.replace('-', '_')}_command"


def _class(name: str) -> str:
    return "".join(map(str.capitalize, name.split("-")))
