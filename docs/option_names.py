"""Lines of pages do not end within the first word of an option, such as after two dashes."""

import re
from typing import Any

from docutils import nodes

FIRST_WORD = re.compile(r"(--[\w.]+)")


def keep_whole(app: Any, doctree: Any) -> None:
    """Gives options in code and their first words classes, for the style sheet."""
    for code in list(doctree.findall(nodes.literal)):
        parts = FIRST_WORD.split(code.astext())
        if len(parts) == 1 or len(code) != 1:
            continue
        code.clear()
        code["classes"].append("option")
        for place, part in enumerate(parts):
            code += nodes.inline("", part, classes=["whole"]) if place % 2 else nodes.Text(part)
