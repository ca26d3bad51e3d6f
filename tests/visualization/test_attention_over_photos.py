"""Attention over a photo or a video in a real browser: where it starts, and its opacity."""

import base64
import io
import re
import xml.etree.ElementTree
from typing import Any

import numpy as np
import pytest
from attention_browser import colors, expect, press
from attention_examples import random_weights
from PIL import Image

from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_page import PRECISION

ROWS, COLUMNS = 2, 3
WEIGHTS = random_weights(2, 2, 7, 7, sharpness=2)
TOKENS = ["[class]", *(f"patch {i}" for i in range(ROWS * COLUMNS))]
HEIGHT, WIDTH = 301, 467
# Red grows downward, green to the right.
PHOTO = np.stack(
    np.broadcast_arrays(
        np.linspace(0, 255, HEIGHT)[:, None], np.linspace(0, 255, WIDTH)[None], 128.0
    ),
    axis=-1,
).astype(np.uint8)


def photo_page(show: Any, **options: Any) -> Any:
    view = view_attention(WEIGHTS, TOKENS, image=PHOTO, patches=(ROWS, COLUMNS))
    return show(view, **options)


def test_the_page_starts_at_the_class_token_and_returns_to_it(show):
    page = photo_page(show)
    readout = page.locator("#readout")
    of_class = "“[class]” (0) looks at the image with"
    expect(readout).to_contain_text(of_class)
    share = re.search(r"with ([\d.]+) of", readout.inner_text())
    assert share
    assert abs(float(share[1]) - WEIGHTS[0, 0, 0, 1:].sum()) < 6 * PRECISION
    canvas = page.locator("#drawing canvas")
    canvas.hover(position={"x": 300, "y": 30})
    expect(readout).to_contain_text("“patch ")
    page.mouse.move(1, 1)
    expect(readout).to_contain_text(of_class)
    press(page, "Lines")
    expect(readout).to_contain_text("drawn as lines")
    press(page, "Image")
    expect(readout).to_contain_text(of_class)
    page.keyboard.press("Escape")
    expect(readout).to_contain_text("The mean of all queries looks at the image")


def test_patches_only_start_at_the_mean_of_all_queries(show):
    view = view_attention(WEIGHTS[..., 1:, 1:], TOKENS[1:], image=PHOTO, patches=(ROWS, COLUMNS))
    expect(show(view).locator("#readout")).to_contain_text("The mean of all queries")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_opacity_uncovers_the_photo(show, theme):
    page = photo_page(show, color_scheme=theme)
    expect(page.locator("#opacity-text")).to_have_text("75 %")
    slider = page.get_by_label("opacity")
    covered = colors(page).astype(float)
    slider.press("Home")
    expect(page.locator("#opacity-text")).to_have_text("0 %")
    page.wait_for_timeout(100)
    bare = colors(page).astype(float)
    slider.press("End")
    expect(page.locator("#opacity-text")).to_have_text("100 %")
    page.wait_for_timeout(100)
    full = colors(page).astype(float)
    height = 420
    width = round(420 * WIDTH / HEIGHT)
    left = (bare.shape[1] - width) // 2
    shown = np.asarray(Image.fromarray(PHOTO).resize((width, height)))[20:-20, 20:-20]
    area = (slice(20, height - 20), slice(left + 20, left + width - 20))
    assert abs(bare[area] - shown).mean() < 4
    assert abs(full[area] - shown).mean() > abs(covered[area] - shown).mean() > 20


def test_the_photo_keeps_its_pixels_in_what_is_saved(show):
    page = photo_page(show)
    with page.expect_download() as waiting:
        press(page, "Save SVG")
    tree = xml.etree.ElementTree.parse(waiting.value.path()).getroot()
    photo, attention = tree.iter("{http://www.w3.org/2000/svg}image")
    kind, data = photo.attrib["href"].split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (WIDTH, HEIGHT)
    assert attention.attrib["href"].startswith("data:image/png")


def test_a_video_starts_at_its_class_token_on_a_phone(show):
    video = np.stack([PHOTO, PHOTO[::-1]])
    weights = random_weights(1, 2, 13, 13)
    tokens = ["[class]", *(f"tubelet {i}" for i in range(12))]
    view = view_attention(weights, tokens, video=video, patches=(2, ROWS, COLUMNS))
    page = show(view, viewport={"width": 390, "height": 844}, has_touch=True)
    readout = page.locator("#readout")
    expect(readout).to_contain_text("“[class]” (0) looks at this time with")
    page.locator("#drawing canvas").tap(position={"x": 300, "y": 30})
    expect(readout).to_contain_text("“tubelet 2” (3) looks at this time")
    before = colors(page)
    page.get_by_label("time").press("ArrowRight")
    expect(page.locator("#time-text")).to_have_text("frame 1")
    page.wait_for_timeout(100)
    assert abs(colors(page)[:100].astype(float) - before[:100]).mean() > 5
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
