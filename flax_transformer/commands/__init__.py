"""The commands; only the one in use is imported, as imports take time."""

import ast
import importlib
import importlib.util
from pathlib import Path
from typing import Any

# Each command's group in --help, module and class: a dataclass of its options with a method `run`.
# The order is that in which a user needs them.
COMMANDS = {
    "train": ("train", f"{__name__}.train_command", "Train"),
    "prepare": ("train", f"{__name__}.prepare_command", "Prepare"),
    "evaluate": ("train", f"{__name__}.evaluate_command", "Evaluate"),
    "compare": ("train", f"{__name__}.compare_command", "Compare"),
    "verify-resume": ("train", f"{__name__}.verify_resume_command", "VerifyResume"),
    "translate": ("use", f"{__name__}.translate_command", "Translate"),
    "generate": ("use", f"{__name__}.generate_command", "Generate"),
    "classify": ("use", f"{__name__}.classify_command", "Classify"),
    "fill": ("use", f"{__name__}.fill_command", "Fill"),
    "embed": ("use", f"{__name__}.embed_command", "Embed"),
    "tag": ("use", f"{__name__}.tag_command", "Tag"),
    "serve": ("use", f"{__name__}.serve_command", "Serve"),
    "score": ("use", f"{__name__}.score_command", "Score"),
    "import": ("exchange", f"{__name__}.import_command", "Import"),
    "export": ("exchange", f"{__name__}.export_command", "Export"),
    "doctor": ("inspect", f"{__name__}.doctor_command", "Doctor"),
    "plan": ("inspect", f"{__name__}.plan_command", "PlanTraining"),
    "attention": ("inspect", f"{__name__}.attention_command", "Attention"),
    "watch": ("inspect", f"{__name__}.watch_command", "Watch"),
    "prove": ("inspect", f"{__name__}.prove_command", "Prove"),
    "names": ("inspect", f"{__name__}.names_command", "Names"),
    "lens": ("inspect", f"{__name__}.lens_command", "Lens"),
    "trace": ("inspect", f"{__name__}.trace_command", "TraceInputs"),
    "ablate": ("inspect", f"{__name__}.ablate_command", "Ablate"),
    "plot": ("inspect", f"{__name__}.plot_command", "Plot"),
    "positions": ("inspect", f"{__name__}.positions_command", "Positions"),
    "list": ("inspect", f"{__name__}.list_command", "List"),
    "conventions": ("inspect", f"{__name__}.conventions_command", "Conventions"),
    "table3": ("inspect", f"{__name__}.table3_command", "Table3"),
}


def find_command(name: str) -> type:
    """Imports a command.

    Example:
        >>> find_command("verify-resume").__name__
        'VerifyResume'
    """
    _, module, kind = COMMANDS[name]
    return getattr(importlib.import_module(module), kind)


def read_description(name: str) -> str:
    """Reads a command's description from the docstring of its class, without importing it.

    Example:
        >>> read_description("fill").splitlines()[0]
        'Fill the gaps of texts, or of the lines of standard input, one line for each.'
    """
    _, module, kind = COMMANDS[name]
    spec: Any = importlib.util.find_spec(module)
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    classes = (node for node in body if isinstance(node, ast.ClassDef))
    return next(ast.get_docstring(node) or "" for node in classes if node.name == kind)
