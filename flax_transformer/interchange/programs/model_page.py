"""The page of a model: programs, tokenizer, style and scripts in one HTML document."""

import base64
from collections.abc import Mapping
from typing import Any

from flax_transformer.interchange.programs.page_engine import FOLDER, SCRIPTS
from flax_transformer.visualization import attention_page
from flax_transformer.visualization.html_page import json_for_page, read_page_files, whole_page

# Files of the attention viewer that this page has too.
_VIEWER_STYLES = ("base.css",)
_VIEWER_SCRIPTS = ("colors.js", "drawing.js")
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
    return whole_page(
        title,
        template=read_page_files(FOLDER, ["model_page.html"]),
        style=_read(_VIEWER_STYLES, _STYLES),
        script=_read(_VIEWER_SCRIPTS, _SCRIPTS),
        data={"page": json_for_page(page), "weights": base64.b64encode(contents).decode()},
    )


def _read(of_viewer: tuple[str, ...], own: tuple[str, ...]) -> str:
    return "\n".join(
        [read_page_files(attention_page.FOLDER, of_viewer), read_page_files(FOLDER, own)]
    )
