"""Right-to-left texts do not change the order of the text beside them."""

import numpy as np
import pytest
from attention_browser import expect, press
from attention_examples import random_weights

from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_page import EXPONENT, LEVELS, round_weights
from flax_transformer.visualization.visible_text import arrow_title, isolated

HEBREW, ARABIC = "שלום עולם", "مرحبا بالعالم"


@pytest.mark.parametrize("text", ["", "two words", "3 (4) → 5", "猫", "Ελλάδα", "a\u0301", "€ 5%"])
def test_what_runs_from_left_to_right_stays_as_it_is(text):
    assert isolated(text) == text


@pytest.mark.parametrize("text", [HEBREW, ARABIC, "in English עברית", "٣", "\u202eevil", "א"])
def test_what_would_turn_its_surroundings_is_isolated(text):
    assert isolated(text) == f"\u2068{text}\u2069"


def test_a_title_isolates_its_parts():
    assert arrow_title("two", "zwei") == "two → zwei"
    assert arrow_title(HEBREW, "peace") == f"\u2068{HEBREW}\u2069 → peace"
    assert arrow_title("peace", ARABIC) == f"peace → \u2068{ARABIC}\u2069"


PLACES = """
([element, characters]) => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const node = walker.nextNode();
  return characters.map((character) => {
    const range = document.createRange();
    const at = node.data.indexOf(character);
    range.setStart(node, at);
    range.setEnd(node, at + character.length);
    return range.getBoundingClientRect().left;
  });
}
"""


def places(page, selector, *parts):
    """Where each part of a text begins on the page, in pixels from the left."""
    return page.evaluate(PLACES, [page.locator(selector).element_handle(), list(parts)])


def test_the_arrow_of_a_title_points_from_what_was_read_to_what_was_made(show):
    title = arrow_title(HEBREW, ARABIC)
    page = show(view_attention(random_weights(1, 1, 2, 2), ["a", "b"], title=title))
    source, arrow, made = places(page, "h1", HEBREW[0], "→", ARABIC[0])
    assert source < arrow < made
    # A title without isolates reads backwards: the measurement sees what a reader sees.
    title = f"{HEBREW} → {ARABIC}"
    page = show(view_attention(random_weights(1, 1, 2, 2), ["a", "b"], title=title))
    source, arrow, made = places(page, "h1", HEBREW[0], "→", ARABIC[0])
    assert source > arrow > made


def test_a_title_of_one_text_is_read_in_its_direction(show):
    page = show(view_attention(random_weights(1, 1, 2, 2), ["a", "b"], title=f"{HEBREW}!"))
    last, sign = places(page, "h1", HEBREW[-1], "!")
    assert sign < last


def test_numbers_stay_beside_the_tokens_that_they_are_of(show):
    tokens = ["שלום", "עולם", "ירוק"]
    page = show(view_attention(np.eye(3, dtype=np.float32)[None, None], tokens))
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("#readout")).to_contain_text("(0) looks at")
    own, number, relation, other, weight = places(
        page, "#readout", "שלום", "(0)", "looks", "שלום\u2069” (0) 1", "1.000"
    )
    assert own < number < relation < other < weight
    press(page, "Matrix")
    expect(page.locator("#readout")).to_contain_text("(0) looks at")


def test_the_share_of_a_picture_is_never_above_1(show):
    """Rounded to bytes, 64 weights of 1 / 64 sum to more than 1."""
    weights = np.full((1, 1, 64, 64), 1 / 64, np.float32)
    read_back = (round_weights(weights[0, 0, 0]) / LEVELS) ** EXPONENT
    assert read_back.sum() > 1.0005, "the example shows nothing"
    tokens = [str(i) for i in range(64)]
    page = show(view_attention(weights, tokens, image=np.zeros((8, 8, 3)), patches=(8, 8)))
    expect(page.locator("#readout")).to_contain_text("with 1.000 of its attention")
