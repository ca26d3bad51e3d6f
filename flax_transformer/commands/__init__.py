"""The commands; only the one that the user asks for is imported, as imports take time."""

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

# The module and the class of each command: a dataclass of its options with a method `run`.
COMMANDS = {
    "train": f"{__name__}.train_command:Train",
    "verify-resume": f"{__name__}.verify_resume_command:VerifyResume",
    "evaluate": f"{__name__}.evaluate_command:Evaluate",
    "translate": f"{__name__}.translate_command:Translate",
    "generate": f"{__name__}.generate_command:Generate",
    "classify": f"{__name__}.classify_command:Classify",
    "fill": f"{__name__}.fill_command:Fill",
    "tag": f"{__name__}.tag_command:Tag",
    "score": f"{__name__}.score_command:Score",
    "attention": f"{__name__}.attention_command:Attention",
    "plot": f"{__name__}.plot_command:Plot",
    "list": f"{__name__}.list_command:List",
    "positions": f"{__name__}.positions_command:Positions",
    "conventions": f"{__name__}.conventions_command:Conventions",
    "table3": f"{__name__}.table3_command:Table3",
}


def find_command(name: str) -> type:
    """Imports a command.

    Example:
        >>> find_command("verify-resume").__name__
        'VerifyResume'
    """
    module, _, kind = COMMANDS[name].partition(":")
    return getattr(importlib.import_module(module), kind)


def read_description(name: str) -> str:
    """Reads what a command does from the docstring of its class, without importing it.

    Example:
        >>> read_description("fill").splitlines()[0]
        'Fill the gaps of texts, or of the lines of standard input, one line out for each.'
    """
    module, _, kind = COMMANDS[name].partition(":")
    spec: Any = importlib.util.find_spec(module)
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    classes = (node for node in body if isinstance(node, ast.ClassDef))
    return next(ast.get_docstring(node) or "" for node in classes if node.name == kind)
