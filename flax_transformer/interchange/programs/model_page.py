"""The page of a model: programs, tokenizer, style and scripts in one HTML document."""

import base64
import html
import string
from collections.abc import Mapping
from typing import Any

from flax_transformer.interchange.programs.page_engine import FOLDER, SCRIPTS
from flax_transformer.visualization.page_files import digest, json_in_page, read_files
from flax_transformer.visualization.visible_text import isolated

# Files of the attention viewer that this page has too.
_VIEWER_STYLES = ("theme.css",)
_VIEWER_SCRIPTS = ("theme.js", "colors.js", "drawing.js")
_STYLES = ("model_page.css",)
_SCRIPTS = (
    *SCRIPTS,
    "looking.js",
    "writing.js",
    "classes.js",
    "pixel_scaling.js",
    "sketch.js",
    "model_page.js",
)


def model_page(title: str, page: Mapping[str, Any], contents: bytes) -> str:
    """Makes the page.

    Args:
        title: heading of the page, any text.
        page: plain data that the scripts read.
        contents: bytes of the arrays.

    Returns:
        A whole HTML document. It loads nothing, and its content security policy forbids it.
    """
    style, script = _read(_VIEWER_STYLES, _STYLES), _read(_VIEWER_SCRIPTS, _SCRIPTS)
    return string.Template(read_files("model_page.html", package=FOLDER)).substitute(
        title=html.escape(isolated(title)),
        style=style,
        style_digest=digest(style),
        script=script,
        script_digest=digest(script),
        page=json_in_page(page),
        weights=base64.b64encode(contents).decode(),
    )


def _read(of_viewer: tuple[str, ...], own: tuple[str, ...]) -> str:
    return "\n".join([read_files(*of_viewer), read_files(*own, package=FOLDER)])
