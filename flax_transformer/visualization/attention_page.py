"""The page of the attention viewer: packed weights, scripts and styles in one file."""

import base64
import html
import string
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from flax_transformer.visualization.page_files import digest, json_in_page, read_files
from flax_transformer.visualization.visible_text import isolated

# Weights are rounded to LEVELS steps, which are denser near zero, where most weights of a long
# sequence are. With equal steps of 1/255, uniform attention over 512 tokens would round to 0.
LEVELS = 255
EXPONENT = 1.5
# The largest rounding error of a weight.
PRECISION = 0.003

_STYLES = ("theme.css", "attention_view.css")
_SCRIPTS = (
    "theme.js",
    "data.js",
    "colors.js",
    "drawing.js",
    "state.js",
    "lines.js",
    "grid.js",
    "matrix.js",
    "picture.js",
    "cells.js",
    "saving.js",
    "display.js",
    "controls.js",
)


def round_weights(weights: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Rounds each weight to a byte.

    round(255 w^(2/3)),  read back as (byte / 255)^(3/2)

    Args:
        weights: between 0 and 1.

    Returns:
        Bytes. The error after reading back is at most 0.003, and at most 0.0004 for weights below
        0.002.

    Example:
        >>> round_weights(np.array([0.0, 0.002, 0.5, 1.0])).tolist()
        [0, 4, 161, 255]
    """
    return np.rint(LEVELS * weights ** np.float32(1 / EXPONENT)).astype(np.uint8)


def make_page(
    title: str,
    header: Mapping[str, Any],
    chunks: Mapping[str, np.ndarray],
    frames: Sequence[str] = (),
) -> str:
    """Makes the page.

    Args:
        title: heading of the page, any text.
        header: values that the scripts read as JSON.
        chunks: arrays of bytes, by the names that the scripts use.
        frames: addresses of the frames of a picture, which hold their data; see `embed_frames`.

    Returns:
        A whole HTML document. It loads nothing from outside. Its content security policy blocks all
        loading and all scripts except the page's own.
    """
    style, script = read_files(*_STYLES), read_files(*_SCRIPTS)
    scripts = {
        "header": json_in_page(
            {**header, "levels": LEVELS, "exponent": EXPONENT, "precision": PRECISION}
        ),
        **{name: _pack(chunk) for name, chunk in chunks.items()},
        **{f"frame-{index}": address for index, address in enumerate(frames)},
    }
    return string.Template(read_files("attention_view.html")).substitute(
        title=html.escape(isolated(title)),
        style=style,
        style_digest=digest(style),
        script=script,
        script_digest=digest(script),
        data="\n".join(
            f'<script type="text/plain" id="{name}">{text}</script>'
            for name, text in scripts.items()
        ),
    )


def _pack(chunk: np.ndarray) -> str:
    # Rounded weights are noise except for runs of zeros: a search for longer repetitions takes
    # twenty times as long. Without it the file is a sixth larger.
    packer = zlib.compressobj(memLevel=9, strategy=zlib.Z_RLE)
    return base64.b64encode(packer.compress(chunk.tobytes()) + packer.flush()).decode()
