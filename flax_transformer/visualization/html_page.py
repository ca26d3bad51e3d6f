"""Pages that are one file: style, scripts and data in one HTML document."""

import base64
import hashlib
import html
import json
import string
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from flax_transformer.visualization.visible_text import isolated


def whole_page(
    title: str, *, template: str, style: str, script: str, data: Mapping[str, str]
) -> str:
    """Fills a template with all that a page needs.

    The policy in the template names the digests of the style and of the script, so that a browser
    runs nothing else.

    Args:
        title: any text.
        template: with $title, $style, $style_digest, $script, $script_digest and $data.
        style: CSS.
        script: JavaScript.
        data: texts by the ids of their elements; none contains "</script".

    Returns:
        A whole HTML document.
    """
    return string.Template(template).substitute(
        title=html.escape(isolated(title)),
        style=style,
        style_digest=_digest(style),
        script=script,
        script_digest=_digest(script),
        data="\n".join(
            f'<script type="text/plain" id="{name}">{text}</script>' for name, text in data.items()
        ),
    )


def read_page_files(package: str, names: Iterable[str]) -> str:
    """Joins files of the folder `page` of a package."""
    folder = resources.files(package) / "page"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


def json_for_page(value: Any) -> str:
    r"""Returns JSON that does not end an element of a page.

    Example:
        >>> json_for_page({"text": "</script>"})
        '{"text": "\\u003c/script>"}'
    """
    return json.dumps(value).replace("<", "\\u003c")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
