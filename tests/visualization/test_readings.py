"""Several readings on one page of the viewer, in a browser."""

import dataclasses
import re

import numpy as np
import pytest
from attention_browser import expect, expect_shown, expect_strongest, lines, press, token
from attention_examples import random_weights

from flax_transformer.errors import UserError
from flax_transformer.visualization import Grid, Reading, view_attention, view_readings
from flax_transformer.visualization.attention_view import AttentionView

LAYERS, HEADS, WORDS = 2, 3, ["a", "cat", "sat", "on", "it"]


def reading(name: str, layers: int = LAYERS, words: list[str] = WORDS, **fields) -> Reading:
    weights = random_weights(layers, HEADS, len(words), len(words), sharpness=2)
    fields = {"title": f"title of {name}", **fields}
    return Reading(weights=weights, tokens=words, name=name, **fields)


def many() -> tuple[list[Reading], AttentionView]:
    readings = [reading(f"{step}", notes=[f"loss {step / 10}"]) for step in range(0, 90, 10)]
    return readings, view_readings(readings, by="step", title="training")


def grids() -> list[Grid]:
    rows, columns = ["layer 1", "layer 0"], ["x", "y", "z"]
    values = np.array([[0.0, 0.5, 1.0], [-1.0, -0.5, 7.0]])
    texts = [["p", "q", "r"], ["s", "t", "<b>"]]
    hints = [["", "two\nlines", ""], ["", "", ""]]
    opens = [["other", "", ""], ["", "", "third"]]
    first = Grid("first", rows, columns, values, texts, hints, opens, "Ablation", "What it is.")
    second = Grid("second", ["only"], columns, values[:1], texts[:1], view="Ablation")
    return [first, second, Grid("lens", rows, columns, values, texts, view="Lens")]


def cell(page, grid, row, column):
    place = f'[data-grid="{grid}"][data-row="{row}"][data-column="{column}"]'
    return page.locator(f"#drawing rect{place}")


def test_a_slider_goes_through_the_readings(show):
    readings, view = many()
    page = show(view)
    expect(page.locator("#by")).to_have_text("step")
    slider = page.locator("#reading")
    assert slider.get_attribute("max") == "8"
    token(page, "query", 3).click()
    for place in (8, 2):
        slider.fill(str(place))
        expect(page.locator("figcaption").first).to_have_text(f"{place}0: title of {place}0")
        expect(page.locator(".notes").first).to_have_text(f"loss {place}.0")
        # The token stays chosen, as all readings have the same tokens.
        expect_strongest(page, readings[place].weights[0, 0, 3])
    press(page, "layer 1", "head 2", "head 0")
    slider.fill("5")
    expect(page.locator("figcaption").first).to_have_text("50: title of 50")
    expect_shown(page, "Lines of attention: layer 1, head 2")
    expect_strongest(page, readings[5].weights[1, 2, 3])


def test_two_readings_are_side_by_side(show):
    # The other model has fewer layers and other tokens.
    one, other = reading("one"), reading("other", layers=1, words=["x", "y"])
    page = show(view_readings([one, other], title="both"))
    beside = page.locator("#beside-drawing")
    expect(beside).to_have_attribute("aria-label", "Lines of attention: layer 0, head 0")
    press(page, "layer 1")
    expect(page.locator("#drawing")).to_have_attribute("aria-label", re.compile("layer 1, head 0"))
    expect(beside).to_have_attribute("aria-label", re.compile("layer 0, head 0"))
    beside.locator('rect[data-side="query"][data-index="1"]').hover()
    expect_strongest(page, other.weights[0, 0, 1])
    # A token of one is not a token of the other.
    expect(lines(page)).to_have_count(len(WORDS) ** 2)
    beside.locator('rect[data-side="query"][data-index="1"]').click()
    page.locator("#beside").select_option("none")
    expect(lines(page)).to_have_count(len(WORDS) ** 2)
    expect(beside).to_be_hidden()
    press(page, "other")
    expect_shown(page, "Lines of attention: layer 0, head 0")
    expect(page.locator("figcaption").first).to_have_text("other: title of other")


def test_a_token_of_both_is_shown_in_both(show):
    page = show(view_readings([reading("one"), reading("other")]))
    token(page, "query", 2).hover()
    for drawing in ("#drawing", "#beside-drawing"):
        expect(page.locator(f"{drawing} g.moving path")).to_have_count(len(WORDS))


def test_a_click_on_a_cell_opens_its_reading(show):
    readings = [reading("whole", grids=grids()), reading("other"), reading("third")]
    page = show(view_readings(readings, title="without"))
    caption = page.locator("figcaption").first
    expect_shown(page, "Ablation of attention: all layers")
    expect(page.locator("#readout")).to_have_text("What it is.")
    expect(caption).to_have_text("whole: title of whole")
    cell(page, 0, 0, 1).hover()
    expect(page.locator("#readout")).to_have_text("layer 1, y: q\ntwo\nlines")
    cell(page, 0, 0, 1).click()
    expect(caption).to_have_text("whole: title of whole")
    cell(page, 0, 1, 2).click()
    expect(caption).to_have_text("third: title of third")
    # The other reading has the grids of the first; a second click goes back.
    cell(page, 0, 1, 2).click()
    expect(caption).to_have_text("whole: title of whole")
    cell(page, 0, 0, 0).click()
    press(page, "Lines")
    token(page, "query", 1).click()
    expect_strongest(page, readings[1].weights[0, 0, 1])


def test_cells_have_the_colors_of_their_values(show):
    page = show(view_readings([reading("one", grids=grids())]))
    fills = [
        cell(page, 0, row, column).get_attribute("fill") for row in (0, 1) for column in (0, 2)
    ]
    zero, high, low, clipped = (tuple(map(int, re.findall(r"\d+", fill))) for fill in fills)
    assert zero == (244, 246, 248)
    assert high == clipped == (0, 114, 178)
    assert low == (213, 94, 0)
    press(page, "Lens")
    expect(page.locator("#drawing")).to_contain_text("lens")
    expect(page.locator("#drawing")).not_to_contain_text("second")
    expect(page.locator("#drawing text", has_text="<b>")).to_have_count(1)


@pytest.mark.parametrize(
    ("readings", "message"),
    [
        ([], r"names of readings are \[\]"),
        ([reading("one"), reading("one")], "give each reading its own name"),
        (
            [
                dataclasses.replace(reading("one"), image=np.zeros((4, 4, 3)), patches=(2, 2)),
                reading("other"),
            ],
            "different patches",
        ),
    ],
)
def test_readings_that_do_not_fit_are_refused(readings, message):
    with pytest.raises(UserError, match=message):
        view_readings(readings)


@pytest.mark.parametrize("field", ["values", "texts", "hints", "opens"])
def test_a_grid_of_unequal_tables_is_refused(field):
    wrong = {"values": np.zeros((2, 2)), "texts": [["p"]], "hints": [["p"]], "opens": [["p"]]}
    grid = grids()[0]._replace(**{field: wrong[field]})
    with pytest.raises(ValueError, match="grid 'first' has"):
        grid.described()


def test_one_reading_is_the_page_of_its_weights():
    one = reading("", title="")
    page = view_attention(one.weights, one.tokens, title="t").page
    assert view_readings([one], title="t").page == page
