"""Notebooks of the repository as pages of the site."""

import json
import re
from pathlib import Path

REPOSITORY = "https://github.com/flax-transformer/flax_transformer/blob/main/"
# A picture of another host, which the site needs no network for, in a link.
BADGE = re.compile(r"\[!\[([^]]*)\]\(https:[^)]*\)\]")


def copy_notebooks(source: Path, target: Path) -> None:
    """Copies the notebooks; links out of the site lead to GitHub, and badges become words."""
    target.mkdir(exist_ok=True)
    for path in sorted(source.glob("*.ipynb")):
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = [
                    BADGE.sub(r"[\1]", line.replace("](../", f"]({REPOSITORY}"))
                    for line in cell["source"]
                ]
        write_if_changed(target / path.name, json.dumps(notebook, indent=1))


def write_if_changed(path: Path, text: str) -> None:
    """Writes a file unless it has this text, so that Sphinx reads only what has changed."""
    if not path.is_file() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
