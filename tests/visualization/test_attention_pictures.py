"""The viewer's drawings in a real browser: their colors, pictures and what is saved of them."""

import pathlib
import re
import xml.etree.ElementTree
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from attention_browser import (
    HEADS,
    LAYERS,
    PARTS,
    TARGET,
    TARGET_WORDS,
    expect,
    expect_shown,
    parts_view,
    press,
)
from attention_examples import random_weights

from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_page import PRECISION

SVG = "{http://www.w3.org/2000/svg}"


def downloaded(page: Any, button: str) -> pathlib.Path:
    with page.expect_download() as waiting:
        press(page, button)
    path = pathlib.Path(waiting.value.path())
    suffix = button.split()[1].lower()
    assert re.fullmatch(rf"attention-[\w-]+\.{suffix}", waiting.value.suggested_filename)
    return path


@pytest.mark.parametrize("view", ["Lines", "Grid", "Matrix"])
def test_a_view_is_saved_as_svg_and_png(show, view):
    page = show(parts_view())
    press(page, view)
    expect(page.get_by_role("application")).to_have_attribute("aria-label", re.compile(f"^{view}"))
    tree = xml.etree.ElementTree.parse(downloaded(page, "Save SVG")).getroot()
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} <= {
        "svg", "rect", "path", "text", "image"
    }  # fmt: skip
    texts = [element.text for element in tree.iter(f"{SVG}text")]
    if view != "Grid":
        assert "cat" in texts
        assert "a⇥mat" in texts
    image = matplotlib.image.imread(downloaded(page, "Save PNG"), format="png")
    height, width = image.shape[:2]
    assert (width, height) == tuple(round(3 * float(tree.attrib[k])) for k in ("width", "height"))
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 30


def lightness(page: Any) -> np.ndarray:
    """Of the scale beside the drawing, from zero on: luminance as WCAG 2 defines it."""
    pixels = page.locator("#scale").evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 5, c.width, 1).data)"
    )
    colors = np.array(pixels).reshape(-1, 4)[:, :3] / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colors_are_told_apart_by_lightness_alone(show, theme):
    page = show(parts_view(), color_scheme=theme)
    press(page, "Matrix")
    scale = lightness(page)
    steps = np.diff(scale) * (1 if theme == "dark" else -1)
    assert (steps > 0).mean() > 0.9
    assert (steps >= 0).all()
    ends = scale[[0, -1]]
    # The contrast of the scale's ends; text would need 4.5.
    assert (ends.max() + 0.05) / (ends.min() + 0.05) > 12


def test_light_and_dark_follow_the_system_and_the_button(show):
    page = show(parts_view(), color_scheme="dark")

    def paper():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = paper()
    press(page, "Light or dark")
    assert (dark, paper()) == ("rgb(20, 23, 27)", "rgb(255, 255, 255)")


def picture_bytes(page: Any) -> str:
    return page.locator("#drawing canvas").evaluate("c => c.toDataURL()")


def test_attention_is_painted_over_an_image(show):
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    tokens = ["[CLS]", *(f"patch {i}" for i in range(6))]
    page = show(view_attention(PARTS["encoder"], tokens, image=image, patches=(2, 3)))
    expect_shown(page, "Image of attention: layer 0, head 0")
    before = picture_bytes(page)
    page.locator("#drawing canvas").click(position={"x": 40, "y": 20})
    expect(page.locator("#readout")).to_contain_text("“patch 0” (1) looks at the image with")
    share = PARTS["encoder"][0, 0, 1, 1:].sum()
    shown = re.search(r"with ([\d.]+) of", page.locator("#readout").inner_text())
    assert shown
    assert abs(float(shown[1]) - share) < 6 * PRECISION
    assert picture_bytes(page) != before
    downloaded(page, "Save PNG")
    downloaded(page, "Save SVG")


def test_a_slider_goes_through_a_video(show):
    video = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
    weights = random_weights(LAYERS, HEADS, TARGET, 3)
    view = view_attention(weights, ["0", "1", "2"], TARGET_WORDS, video=video, patches=(3, 1, 1))
    page = show(view)
    expect_shown(page, "Video of cross: layer 0, head 0")
    seen = {picture_bytes(page)}
    page.get_by_label("time").focus()
    for frame in range(1, 6):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#time-text")).to_have_text(f"frame {frame}")
        share = weights[0, 0, :, frame // 2].mean()
        expect(page.locator("#readout")).to_contain_text("this time with")
        shown = re.search(r"with ([\d.]+) of", page.locator("#readout").inner_text())
        assert shown
        assert abs(float(shown[1]) - share) < PRECISION + 0.0005
        seen.add(picture_bytes(page))
    assert len(seen) == 6
    # The arrows moved the slider, not the head.
    expect_shown(page, "Video of cross: layer 0, head 0")
