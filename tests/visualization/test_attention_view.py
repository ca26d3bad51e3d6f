import base64
import configparser
import html
import html.parser
import importlib.resources
import io
import json
import pathlib
import re
import zlib
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from attention_examples import random_weights
from PIL import Image

from flax_transformer.errors import UserError
from flax_transformer.visualization import attention_page, view_attention
from flax_transformer.visualization.attention_page import round_weights
from flax_transformer.visualization.attention_rollout import attention_rollout

LAYERS, HEADS, SOURCE, TARGET = 2, 3, 5, 7
WORDS = ["the", "cat", "sat", "on", "it"]
TARGET_WORDS = ["<s>", "die", "Katze", "saß", "auf", "ihr", "."]


class Page(html.parser.HTMLParser):
    """Reads a page as a browser does: its elements, and the text of those with an id."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = dict(attrs).get("id") or tag

    def handle_endtag(self, tag):
        self.open = ""

    def handle_data(self, data):
        self.texts[self.open] = self.texts.get(self.open, "") + data

    @property
    def header(self):
        """The page's header, with the descriptions of its first reading."""
        header = json.loads(self.texts["header"])
        return {**header["readings"][0], **header}

    def chunk(self, name):
        """A layer of the first reading."""
        return np.frombuffer(zlib.decompress(base64.b64decode(self.texts[f"0-{name}"])), np.uint8)

    def weights(self, name):
        """As the page's scripts read them."""
        header = self.header
        return (self.chunk(name) / header["levels"]) ** header["exponent"]


def three_parts():
    return {
        "encoder": random_weights(LAYERS, HEADS, SOURCE, SOURCE),
        "decoder": random_weights(LAYERS, HEADS, TARGET, TARGET),
        "cross": random_weights(LAYERS, HEADS, TARGET, SOURCE),
    }


def test_rounding_keeps_its_promise_over_all_weights():
    weights = np.linspace(0, 1, 1_000_003)
    read = (round_weights(weights) / attention_page.LEVELS) ** attention_page.EXPONENT
    error = abs(read - weights)
    assert error.max() < attention_page.PRECISION < 1 / 255
    assert error[weights < 0.002].max() < 0.0004
    assert error.max() > 0.0029


def test_the_page_holds_every_weight_and_the_rollout_after_the_heads():
    parts = three_parts()
    page = Page(view_attention(parts, WORDS, TARGET_WORDS).page)
    assert [part["name"] for part in page.header["parts"]] == ["encoder", "decoder", "cross"]
    for part in page.header["parts"]:
        expected = parts[part["name"]]
        assert part["rollout"] == (part["name"] != "cross")
        for layer in range(LAYERS):
            heads = expected[layer]
            if part["rollout"]:
                heads = np.concatenate([heads, attention_rollout(expected)[layer][None]])
            read = page.weights(f"{part['name']}-{layer}").reshape(heads.shape)
            np.testing.assert_allclose(read, heads, atol=attention_page.PRECISION)


def test_tokens_belong_to_queries_and_keys():
    header = Page(view_attention(three_parts(), WORDS, TARGET_WORDS).page).header
    assert header["tokens"] == {"source": WORDS, "target": TARGET_WORDS}
    sides = {part["name"]: (part["queries"], part["keys"]) for part in header["parts"]}
    assert sides == {
        "encoder": ("source", "source"),
        "decoder": ("target", "target"),
        "cross": ("target", "source"),
    }


def test_one_array_is_self_attention_or_with_target_tokens_cross_attention():
    alone = view_attention(random_weights(LAYERS, HEADS, SOURCE, SOURCE), WORDS)
    assert Page(alone.page).header["parts"][0]["name"] == "attention"
    cross = view_attention(random_weights(LAYERS, HEADS, TARGET, SOURCE), WORDS, TARGET_WORDS)
    assert Page(cross.page).header["parts"][0]["name"] == "cross"


def test_arrays_of_any_library_show_the_same():
    weights = random_weights(LAYERS, HEADS, SOURCE, SOURCE)
    page = view_attention(weights, WORDS).page
    assert view_attention(jnp.asarray(weights), WORDS).page == page
    assert view_attention(weights.tolist(), WORDS).page == page
    assert view_attention(list(weights), WORDS).page == page
    assert view_attention(weights.astype(np.float64), WORDS).page == page


def test_weights_of_bfloat16_may_be_rounded_to_a_little_more_than_one():
    weights = jnp.full((LAYERS, HEADS, 1, 1), 1.0039, jnp.bfloat16)
    assert Page(view_attention(weights, ["word"]).page).weights("attention-0").max() == 1


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "&lt;",
    "${title}",
]


def test_hostile_tokens_and_titles_add_no_element():
    weights = random_weights(LAYERS, HEADS, SOURCE, SOURCE)
    plain = Page(view_attention(weights, WORDS, title="title").page)
    hostile = Page(view_attention(weights, HOSTILE, title=HOSTILE[1]).page)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert hostile.header["tokens"]["source"] == HOSTILE
    assert hostile.texts["h1"] == HOSTILE[1]


def test_the_page_names_no_other_place():
    text = view_attention(random_weights(LAYERS, HEADS, SOURCE, SOURCE), WORDS).page
    # The only address is the name of SVG, which is none.
    assert set(re.findall(r"\w+://[^\"]*", text)) == {"http://www.w3.org/2000/svg"}
    for _, attributes in Page(text).elements:
        assert not attributes.keys() & {"src", "href", "style", "onclick", "onload"}


def test_only_the_pages_own_script_may_run():
    page = Page(view_attention(random_weights(LAYERS, HEADS, SOURCE, SOURCE), WORDS).page)
    (policy,) = (a["content"] for _, a in page.elements if "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[\w+/]{43}='$", policy)


def test_it_is_saved_whole_and_shown_in_a_frame(tmp_path):
    weights = random_weights(LAYERS, HEADS, SOURCE, SOURCE)
    view = view_attention(weights, WORDS, title='a "title"')
    assert view.save(str(tmp_path / "page.html")) == tmp_path / "page.html"
    assert (tmp_path / "page.html").read_text("utf-8") == view.page
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    ((tag, attributes),) = Page(view._repr_html_()).elements
    assert tag == "iframe"
    assert attributes["srcdoc"] == view.page
    assert repr(view) == "AttentionView(title='a \"title\"')"
    assert attributes["sandbox"] == "allow-scripts allow-downloads"


def test_no_folder_to_save_in(tmp_path):
    view = view_attention(random_weights(LAYERS, HEADS, SOURCE, SOURCE), WORDS)
    with pytest.raises(UserError, match=r"no folder .*nowhere for the page a\.html: make it first"):
        view.save(tmp_path / "nowhere" / "a.html")
    assert not list(tmp_path.iterdir())


GOOD = random_weights(LAYERS, HEADS, SOURCE, SOURCE)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (GOOD[None], r"\[1, 2, 3, 5, 5\] are not .*: take one example of the batch"),
        (GOOD[0], r"\[3, 5, 5\] are not \[layers, heads, queries, keys\]"),
        (GOOD[..., :3], r"end in \[5, 3\], but there are 5 query and 5 key tokens"),
        (GOOD[:0], "empty"),
        (GOOD * np.nan, r"nan at \[0, 0, 0, 0\]"),
        (GOOD + np.eye(SOURCE) * 2, r"at \[0, 0, 0, 0\].*softmax of scores"),
        (-GOOD, "-0"),
        ([["a"]], "not an array of numbers"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
        ({"encodr": GOOD}, "unknown part of attention 'encodr': did you mean 'encoder'?"),
        ({"decoder": GOOD}, "pass them as target_tokens"),
        ({}, "no weights to show"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(weights, message):
    with pytest.raises(UserError, match=message) as error:
        view_attention(weights, WORDS)
    assert "\n" not in str(error.value)


def test_a_picture_goes_along():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    page = Page(view_attention(GOOD, WORDS, image=image, patches=(2, 2)).page)
    assert page.header["picture"]["first"] == 1
    kind, data = page.texts["frame-0"].split(",")
    assert kind == "data:image/png;base64"
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    np.testing.assert_array_equal(found, image)


def started(weights: np.ndarray, tokens: list[str], **options: Any) -> int | None:
    image = np.zeros((4, 6, 3), np.uint8)
    view = view_attention(weights, tokens, image=image, patches=(2, 2), **options)
    return Page(view.page).header["picture"]["start"]


def test_the_page_of_a_picture_starts_at_a_class_token_that_attends_to_patches():
    assert started(GOOD, WORDS) == 0
    assert started(GOOD[..., 1:, 1:], WORDS[1:]) is None  # only patches
    assert started(GOOD[..., :2, :], WORDS, target_tokens=["a", "b"]) is None
    blind = GOOD.copy()
    blind[0, :, 0, 1:] = 0
    assert started(blind, WORDS) is None


@pytest.mark.parametrize(
    ("length", "layers", "heads", "megabytes"), [(64, 6, 8, 2), (512, 12, 12, 25)]
)
def test_pages_stay_small_even_for_even_attention(length, layers, heads, megabytes):
    """Scores of variance 1, as nothing that was trained has: rounded weights all differ."""
    weights = random_weights(layers, heads, length, length)
    page = view_attention(weights, [f"token {i}" for i in range(length)]).page
    assert len(page.encode()) <= megabytes * 1e6


def test_all_files_of_the_page_are_used_and_packaged():
    folder = importlib.resources.files("flax_transformer.visualization") / "page"
    names = {file.name for file in folder.iterdir()}
    used = {"attention_view.html", *attention_page._STYLES, *attention_page._SCRIPTS}
    assert names == used
    config = configparser.ConfigParser()
    config.read(pathlib.Path(__file__).parents[2] / "setup.cfg")
    assert config["options.package_data"]["flax_transformer.visualization"] == "page/*"
