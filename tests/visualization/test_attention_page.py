"""The viewer's page in a real browser: what people do, and that nothing leaves the page."""

import re

import pytest
from attention_browser import (
    HEADS,
    HOSTILE,
    LAYERS,
    PARTS,
    SOURCE,
    TARGET,
    expect,
    expect_shown,
    expect_strongest,
    lines,
    parts_view,
    press,
    token,
)
from attention_examples import random_weights

from flax_transformer.visualization import AttentionView, view_attention
from flax_transformer.visualization.attention_page import PRECISION
from flax_transformer.visualization.attention_rollout import attention_rollout


def test_pointing_at_a_token_shows_where_it_looks(show):
    page = show(parts_view())
    number = lines(page).count()
    assert number > SOURCE
    token(page, "query", 2).hover()
    expect(lines(page)).not_to_have_count(number)
    assert lines(page).count() <= SOURCE
    expect_strongest(page, PARTS["encoder"][0, 0, 2])
    token(page, "key", 5).hover()
    expect(page.locator("#readout")).to_contain_text("“a⇥mat” (5) is looked at by")
    expect_strongest(page, PARTS["encoder"][0, 0, :, 5], " is looked at by ")
    page.mouse.move(1, 1)
    expect(lines(page)).to_have_count(number)


def test_part_layer_heads_and_rollout_are_chosen(show):
    page = show(parts_view())
    press(page, "cross", "layer 2", "head 3", "head 0")
    expect_shown(page, "Lines of cross: layer 2, head 3")
    token(page, "query", 9).click()
    expect_strongest(page, PARTS["cross"][2, 3, 9])
    press(page, "head 1")
    expect_shown(page, "Lines of cross: layer 2, mean of heads 1, 3")
    expect_strongest(page, PARTS["cross"][2, [1, 3], 9].mean(axis=0))
    press(page, "all")
    expect_strongest(page, PARTS["cross"][2, :, 9].mean(axis=0))
    # Rollout follows one sequence; across two there is none.
    expect(page.locator("#rollout")).to_be_hidden()
    press(page, "decoder", "rollout")
    expect_shown(page, "Lines of decoder: layer 2, rollout up to this layer")
    token(page, "query", 9).click()
    expect_strongest(page, attention_rollout(PARTS["decoder"])[2, 9])


def test_one_head_always_stays(show):
    page = show(parts_view())
    press(page, "head 0")
    expect_shown(page, "Lines of encoder: layer 0, head 0")


def test_keys_move_through_layers_heads_and_tokens(show):
    page = show(parts_view())
    for key, shown in [
        ("ArrowDown", "layer 1, head 0"),
        ("ArrowRight", "layer 1, head 1"),
        ("ArrowUp", "layer 0, head 1"),
        ("ArrowUp", "layer 0, head 1"),
        ("ArrowLeft", "layer 0, head 0"),
        ("ArrowLeft", "layer 0, head 4"),
    ]:
        page.keyboard.press(key)
        expect_shown(page, f"Lines of encoder: {shown}")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#readout")).to_contain_text("“cat” (1) looks at")
    expect_strongest(page, PARTS["encoder"][0, 4, 1])
    page.keyboard.press("Escape")
    expect(page.locator("#readout")).to_contain_text("drawn as lines")


@pytest.mark.parametrize("view", ["Lines", "Matrix"])
def test_a_long_text_scrolls_to_the_token_and_stays_there(show, view):
    length = 113
    weights = random_weights(1, 1, length, length)
    page = show(view_attention(weights, [f"token {i}" for i in range(length)]))
    press(page, view)
    drawing = page.get_by_role("application")
    expect(drawing).to_have_attribute("aria-label", re.compile(f"^{view}"))
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator("#readout")).to_contain_text("“token 112” (112) looks at")
    bottom = drawing.evaluate("e => e.scrollTop")
    # Below the last row is a margin of a few pixels, less than a row.
    assert 100 < bottom <= drawing.evaluate("e => e.scrollHeight - e.clientHeight") < bottom + 11
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    expect(page.locator("#readout")).to_contain_text("“token 111” (111) looks at")
    assert drawing.evaluate("e => e.scrollTop") == bottom


def test_every_control_is_reached_and_named(show):
    page = show(parts_view())
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not focused.count() or (name := focused.evaluate(NAME)) in seen:
            break
        seen.append(name)
    views, parts = ["Lines", "Grid", "Matrix"], ["encoder", "decoder", "cross"]
    layers = [f"layer {i}" for i in range(LAYERS)]
    heads = [f"head {i}" for i in range(HEADS)]
    buttons = [*views, "Save SVG", "Save PNG", "Light or dark", *parts, *layers, *heads]
    assert seen[: len(buttons)] == buttons
    assert all(seen)
    assert seen[-1] == "Lines of encoder: layer 0, head 0"


NAME = (
    "e => e.ariaLabel ?? e.getAttribute('aria-label') ?? (e.innerText || e.labels?.[0].innerText)"
)


def test_a_tap_holds_a_token_and_another_lets_go(show):
    page = show(parts_view(), has_touch=True, viewport={"width": 390, "height": 844})
    token(page, "query", 2).tap()
    expect_strongest(page, PARTS["encoder"][0, 0, 2])
    press(page, "layer 1")
    expect_strongest(page, PARTS["encoder"][1, 0, 2])
    token(page, "query", 2).tap()
    page.touchscreen.tap(380, 20)
    page.keyboard.press("Escape")
    expect(page.locator("#readout")).to_contain_text("drawn as lines")
    # Nothing sticks out on a telephone.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_matrix_tells_the_weight_under_the_pointer(show):
    page = show(parts_view())
    press(page, "cross", "layer 1", "head 2", "head 0", "Matrix")
    expect_shown(page, "Matrix of cross: layer 1, head 2")
    box = page.locator("#drawing canvas").bounding_box()
    found = set()
    for across, down in [(0.4, 0.3), (0.6, 0.5), (0.8, 0.7), (0.97, 0.98)]:
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        expect(page.locator("#readout")).to_contain_text(" with ")
        page.wait_for_timeout(50)
        text = page.locator("#readout").inner_text()
        parsed = re.fullmatch(r".*\((\d+)\) looks at .*\((\d+)\) with ([\d.]+)", text)
        assert parsed, text
        query, key = int(parsed[1]), int(parsed[2])
        assert abs(float(parsed[3]) - PARTS["cross"][1, 2, query, key]) < PRECISION + 0.0005
        found.add((query, key))
    assert len(found) == 4
    assert (TARGET - 1, SOURCE - 1) in found


def test_the_grid_opens_a_head(show):
    page = show(parts_view())
    press(page, "Grid")
    expect_shown(page, "Grid of encoder: all layers")
    box = page.locator("#drawing canvas").bounding_box()
    # The middle of the last layer's head 4; the rollout stands to its right.
    step = (box["width"] - 58) / (HEADS + 1)
    page.mouse.click(box["x"] + 58 + 4.5 * step, box["y"] + box["height"] - step / 2)
    expect_shown(page, "Lines of encoder: layer 2, head 4")


def test_hostile_tokens_are_shown_and_do_nothing(show):
    page = show(view_attention(PARTS["encoder"], [HOSTILE] * SOURCE, title=HOSTILE))
    assert page.evaluate("window.isHacked") is None
    assert page.locator("h1").inner_text() == HOSTILE
    token(page, "query", 1).hover()
    expect(page.locator("#readout")).to_contain_text(f"“{HOSTILE}” (1) looks at")
    press(page, "Matrix", "Grid")
    assert page.evaluate("window.isHacked") is None


def test_a_notebook_shows_the_page_in_a_frame(show):
    """A sandbox keeps it from the notebook, and lets it save pictures all the same."""
    view = parts_view()
    notebook = AttentionView(f"<!doctype html>{view._repr_html_()}", "notebook")
    page = show(notebook, frame="iframe")
    frame = page.frame_locator("iframe")
    token(frame, "query", 2).hover()
    expect(frame.locator("#readout")).to_contain_text("“sat” (2) looks at")
    with page.expect_download() as waiting:
        frame.get_by_role("button", name="Save SVG").click()
    assert waiting.value.suggested_filename.endswith(".svg")


@pytest.mark.parametrize(
    ("length", "layers", "heads", "seconds"), [(64, 6, 8, 1), (512, 12, 12, 3)]
)
def test_pages_open_quickly_even_with_all_lines_and_heads(show, length, layers, heads, seconds):
    weights = random_weights(layers, heads, length, length)
    page = show(view_attention(weights, [f"token {i}" for i in range(length)]))
    first = "performance.getEntriesByType('mark')[0].startTime / 1000"
    assert page.evaluate(first) < seconds
    press(page, "all")
    expect(page.get_by_role("application")).to_have_attribute(
        "aria-label", re.compile("mean of heads 0, 1, 2")
    )
    token(page, "query", length // 2).hover()
    expect(page.locator("#readout")).to_contain_text(f"“token {length // 2}” ({length // 2}) looks")
    press(page, "Grid")
    expect_shown(page, "Grid of attention: all layers")
