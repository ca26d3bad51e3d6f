"""What pages of one file are made of: styles and scripts, and the digests that allow them."""

import base64
import hashlib
import json
from importlib import resources
from typing import Any


def read_files(*names: str, package: str = "flax_transformer.visualization") -> str:
    """Reads files of the folder `page` of a package, joined.

    Example:
        >>> read_files("theme.css").splitlines()[0]
        ':root {'
    """
    folder = resources.files(package) / "page"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


def digest(text: str) -> str:
    """Returns what a content security policy calls a style or a script.

    Example:
        >>> digest("")
        'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def json_in_page(value: Any) -> str:
    r"""Writes a value as the text of a script element.

    Example:
        >>> json_in_page("</script>")
        '"\\u003c/script>"'
    """
    # Within a script element, "<" could begin the closing tag.
    return json.dumps(value).replace("<", "\\u003c")
