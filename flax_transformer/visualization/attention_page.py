"""The page of the attention viewer: packed weights and everything that shows them, in one file."""

import base64
import hashlib
import html
import json
import string
import zlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from flax_transformer.visualization.visible_text import isolated

# What a weight is rounded to: LEVELS steps, closer together near zero, where most weights of a
# long sequence lie. Rounded in equal steps of 1/255, even attention over 512 tokens would be none.
LEVELS = 255
EXPONENT = 1.5
# The farthest that a rounded weight lies from the weight itself.
PRECISION = 0.003

_FOLDER = resources.files("flax_transformer.visualization") / "page"
_SCRIPTS = (
    "data.js",
    "colors.js",
    "drawing.js",
    "state.js",
    "lines.js",
    "grid.js",
    "matrix.js",
    "picture.js",
    "saving.js",
    "display.js",
    "controls.js",
)


def round_weights(weights: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Rounds weights to a byte each.

    round(255 w^(2/3)),  read back as (byte / 255)^(3/2)

    Args:
        weights: between 0 and 1.

    Returns:
        Bytes; read back they lie within 0.003 of the weights, and within 0.0004 of those below
        0.002.

    Example:
        >>> round_weights(np.array([0.0, 0.002, 0.5, 1.0])).tolist()
        [0, 4, 161, 255]
    """
    return np.rint(LEVELS * weights ** np.float32(1 / EXPONENT)).astype(np.uint8)


def make_page(title: str, header: Mapping[str, Any], chunks: Mapping[str, np.ndarray]) -> str:
    """Writes the page.

    Args:
        title: above the page, any text.
        header: the values that the scripts read as JSON.
        chunks: arrays of bytes by the name under which the scripts ask for them.

    Returns:
        A whole HTML document. It loads nothing from outside, and its policy makes a browser refuse
        to, and refuse every script other than the page's own.
    """
    style = _read("attention_view.css")
    script = "\n".join(map(_read, _SCRIPTS))
    scripts = {
        "header": _json({**header, "levels": LEVELS, "exponent": EXPONENT, "precision": PRECISION}),
        **{name: _pack(chunk) for name, chunk in chunks.items()},
    }
    return string.Template(_read("attention_view.html")).substitute(
        title=html.escape(isolated(title)),
        style=style,
        style_digest=_digest(style),
        script=script,
        script_digest=_digest(script),
        data="\n".join(
            f'<script type="text/plain" id="{name}">{text}</script>'
            for name, text in scripts.items()
        ),
    )


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Any) -> str:
    # Within a script element, "<" could begin its end.
    return json.dumps(value).replace("<", "\\u003c")


def _pack(chunk: np.ndarray) -> str:
    # Rounded weights are noise but for runs of zeros: to look for longer repetitions takes twenty
    # times as long, for a file a sixth larger.
    packer = zlib.compressobj(memLevel=9, strategy=zlib.Z_RLE)
    return base64.b64encode(packer.compress(chunk.tobytes()) + packer.flush()).decode()
