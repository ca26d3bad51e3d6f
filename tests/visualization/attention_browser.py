"""What tests of the attention page do in a browser; without playwright they are skipped."""

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from attention_examples import random_weights
from PIL import Image

from flax_transformer.visualization import AttentionView, view_attention
from flax_transformer.visualization.attention_page import PRECISION

expect = pytest.importorskip("playwright.sync_api", reason="needs the extra browser").expect

LAYERS, HEADS, SOURCE, TARGET = 3, 5, 7, 11
HOSTILE = "</script><script>window.isHacked = true</script>"
WORDS = ["a", "cat", "sat", HOSTILE, "on", "a\tmat", "."]
TARGET_WORDS = ["und", "eine", "kleine", "Katze", "saß", "da", "auf", "der", "Matte", ",", "ja"]
PARTS = {
    "encoder": random_weights(LAYERS, HEADS, SOURCE, SOURCE, sharpness=2),
    "decoder": random_weights(LAYERS, HEADS, TARGET, TARGET, sharpness=2),
    "cross": random_weights(LAYERS, HEADS, TARGET, SOURCE, sharpness=2),
}


def parts_view() -> AttentionView:
    return view_attention(PARTS, WORDS, TARGET_WORDS, title="parts")


def press(page: Any, *names: str) -> None:
    for name in names:
        page.get_by_role("button", name=name, exact=True).click()


def expect_shown(page: Any, label: str) -> None:
    expect(page.get_by_role("application")).to_have_attribute("aria-label", label)


def token(page: Any, side: str, index: int) -> Any:
    return page.locator(f'#drawing rect[data-side="{side}"][data-index="{index}"]')


def lines(page: Any) -> Any:
    return page.locator("#drawing g.moving path")


def expect_strongest(page: Any, weights: np.ndarray, relation: str = " looks at ") -> None:
    """The words below the drawing name the most important other token first, and its weight."""
    first = weights.argmax()
    expect(page.locator("#readout")).to_contain_text(re.compile(rf"{relation}.*? \({first}\) \d"))
    text = page.locator("#readout").inner_text()
    found = re.search(rf"{relation}.*? \((\d+)\) ([\d.]+)", text)
    assert found, text
    assert abs(float(found[2]) - weights[first]) < PRECISION + 0.0005


def colors(page: Any) -> np.ndarray:
    """The pixels of the canvas [height, width, 3]."""
    data = page.locator("#drawing canvas").evaluate("c => c.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))))[..., :3]
