"""Lines of pages do not end within the first word of an option, such as after two dashes."""

import re
from typing import Any

from docutils import nodes

FIRST_WORD = re.compile(r"(--[\w.]+)")


def keep_whole(app: Any, doctree: Any) -> None:
    """Gives the first words of options in code a class, which the style sheet keeps on one line."""
    for code in list(doctree.findall(nodes.literal)):
        parts = FIRST_WORD.split(code.astext())
        if len(parts) == 1 or len(code) != 1:
            continue
        code.clear()
        for place, part in enumerate(parts):
            code += nodes.inline("", part, classes=["whole"]) if place % 2 else nodes.Text(part)
