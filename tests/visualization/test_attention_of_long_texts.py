"""The viewer's page of a long text in a real browser: its lines, and the labels of its matrix."""

import re
import xml.etree.ElementTree
from typing import Any

import numpy as np
import pytest
from attention_browser import PARTS, SOURCE, colors, expect, lines, parts_view, press, token
from attention_examples import random_weights

from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_page import round_weights

LENGTH, HEADS, KEPT = 113, 3, 3
WEIGHTS = random_weights(1, HEADS, LENGTH, LENGTH, sharpness=2)
TOP, ROW = 30, 17  # of the drawing of lines, in pixels


def long_page(show: Any, **options: Any) -> Any:
    return show(view_attention(WEIGHTS, [f"token {i}" for i in range(LENGTH)]), **options)


def drawn(page: Any) -> set[tuple[str, int, int]]:
    """The color, the query and the key of every line."""
    found = lines(page).evaluate_all(
        "all => all.map((e) => [e.getAttribute('stroke'), e.outerHTML])"
    )
    result = set()
    for color, path in found:
        place = re.search(r'd="M[\d.]+,([\d.]+)C.*,([\d.]+)"', path)
        assert place, path
        query, key = (int((float(y) - TOP) // ROW) for y in place.groups())
        result.add((color, query, key))
    return result


def strongest(head: int, kept: int) -> set[tuple[int, int]]:
    order = np.argsort(-round_weights(WEIGHTS[0, head]).astype(int), axis=-1, kind="stable")
    return {(query, key) for query in range(LENGTH) for key in order[query, :kept].tolist()}


def test_a_long_text_has_lines_of_the_strongest_keys_of_each_query(show):
    page = long_page(show)
    expect(page.locator("#kept-text")).to_have_text(f"{KEPT}")
    expect(page.locator("#readout")).to_contain_text(": the 3 strongest keys of each query.")
    assert {line[1:] for line in drawn(page)} == strongest(0, KEPT)
    token(page, "query", 5).hover()
    expect(lines(page)).to_have_count(KEPT)
    key = 7
    token(page, "key", key).hover()
    expected = {pair for pair in strongest(0, KEPT) if pair[1] == key}
    expect(lines(page)).to_have_count(len(expected))
    assert {line[1:] for line in drawn(page)} == expected


def test_each_of_several_heads_has_its_own_strongest_keys(show):
    page = long_page(show)
    press(page, "head 2")
    expect(lines(page)).to_have_count(2 * LENGTH * KEPT)
    expect(page.locator("#readout")).to_contain_text("keys of each query in each head.")
    found: dict[str, set[tuple[int, int]]] = {}
    for color, query, key in drawn(page):
        found.setdefault(color, set()).add((query, key))
    assert len(found) == 2
    for head in (0, 2):
        assert strongest(head, KEPT) in found.values()


def test_a_slider_chooses_the_number_of_keys_with_all_at_its_end(show):
    page = long_page(show)
    slider = page.get_by_label("strongest keys")
    slider.press("Home")
    expect(page.locator("#kept-text")).to_have_text("1")
    expect(lines(page)).to_have_count(LENGTH)
    expect(page.locator("#readout")).to_contain_text(": the strongest key of each query.")
    slider.press("ArrowRight")
    expect(lines(page)).to_have_count(2 * LENGTH)
    slider.press("End")
    expect(page.locator("#kept-text")).to_have_text("all")
    expect(page.locator("#readout")).not_to_contain_text("strongest")
    token(page, "query", 5).hover()
    positive = round_weights(WEIGHTS[0, 0, 5]) > 0
    expect(lines(page)).to_have_count(int(positive.sum()))
    press(page, "Matrix")
    expect(slider).to_be_hidden()


def test_a_short_text_has_all_lines(show):
    page = show(parts_view())
    expect(page.locator("#kept-text")).to_have_text("all")
    number = int((round_weights(PARTS["encoder"][0, 0]) > 0).sum())
    expect(lines(page)).to_have_count(number)
    page.get_by_label("strongest keys").press("Home")
    expect(lines(page)).to_have_count(SOURCE)


@pytest.mark.parametrize("width", [1103, 390])
def test_no_number_of_a_row_is_cut_at_the_edge_of_a_long_matrix(show, width):
    page = long_page(show, viewport={"width": width, "height": 607})
    press(page, "Matrix")
    drawing = page.get_by_role("application")
    expect(drawing).to_have_attribute("aria-label", re.compile("^Matrix"))
    page.get_by_label("cell size").fill("8")
    bottoms = set()
    for top in range(0, 64, 3):
        drawing.evaluate(f"e => e.scrollTop = {top}")
        page.wait_for_timeout(40)
        labels = colors(page)[:, :30]
        # The last row of the canvas has the color of the paper, so it does not cut a number.
        assert (labels[-1] == 255).all()
        bottoms.add(labels.tobytes())
    assert len(bottoms) > 20


def test_the_names_of_rows_are_not_cut(show):
    names = [f"time 7, row {row}, column {column}" for row in range(11) for column in range(3)]
    page = show(
        view_attention(random_weights(1, 1, 33, 33), names), viewport={"width": 390, "height": 844}
    )
    press(page, "Matrix")
    page.get_by_label("cell size").fill("12")
    with page.expect_download() as waiting:
        press(page, "Save SVG")
    tree = xml.etree.ElementTree.parse(waiting.value.path()).getroot()
    texts = [
        e for e in tree.iter("{http://www.w3.org/2000/svg}text") if "transform" not in e.attrib
    ]
    assert [element.text for element in texts] == names
