"""Builds the documentation site, follows its links, and counts what its API reference has."""

import ast
import collections
import html.parser
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flax_transformer"
THIN_SPACE = '<mspace width="0.1667em"></mspace>'


class Page(NamedTuple):
    """What a page of the site links to and is made of, and where it can be linked to."""

    links: list[str]
    parts: list[str]
    anchors: set[str]
    objects: list[str]


class Reader(html.parser.HTMLParser):
    """Collects links, anchors and documented objects of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], [], set(), [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        addresses = [given[name] for name in ("href", "src", "srcset") if name in given]
        self.page.links.extend(addresses)
        if tag != "a":
            self.page.parts.extend(addresses)
        if "id" in given:
            self.page.anchors.add(given["id"])
            if tag == "dt" and "sig-object" in given.get("class", ""):
                self.page.objects.append(given["id"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[Path, Page]:
    """The pages of the site: of the folder SITE if that is given, else built now."""
    if "SITE" in os.environ:
        site = Path(os.environ["SITE"])
    else:
        for name in ("sphinx", "myst_nb", "furo"):
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"needs the extra docs: there is no {name}")
        site = tmp_path_factory.mktemp("site")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
        done = subprocess.run(
            [*command, ROOT / "docs", site], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return {path.resolve(): read(path) for path in site.rglob("*.html")}


def read(path: Path) -> Page:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    return reader.page


def test_every_internal_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_there = target.is_file()
            if is_there and parts.fragment and target.suffix == ".html":
                is_there = unquote(parts.fragment) in pages[target].anchors
            if not is_there:
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_no_page_needs_a_network(pages):
    parts = {part for page in pages.values() for part in page.parts}
    sheets = {path for page in pages for path in page.parent.rglob("*.css")}
    assert parts
    assert sheets
    for sheet in sheets:
        parts.update(re.findall(r"""(?:url\(|@import\s)["']?([^"')]+)""", sheet.read_text("utf-8")))
    assert [part for part in parts if urlsplit(part).netloc] == []


def test_no_page_scrolls_sideways(pages, browser):
    shown: Any = browser.new_page()
    wide = []
    for path in sorted(pages):
        shown.goto(path.as_uri())
        for width in (390, 1280):
            shown.set_viewport_size({"width": width, "height": 800})
            if shown.evaluate("document.scrollingElement.scrollWidth") > width:
                wide.append((path.name, width))
    shown.close()
    assert len(pages) > 50
    assert not wide


def test_every_public_name_is_documented_once(pages):
    defined = collections.Counter()
    # `__main__` is the program itself, not a part of the library.
    for path in {*PACKAGE.rglob("*.py")} - {PACKAGE / "__main__.py"}:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        nodes = [
            node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, kinds)
        ]
        defined.update({node.name for node in nodes if not node.name.startswith("_")})
    documented = [name for page in pages.values() for name in page.objects]
    assert len(documented) == len(set(documented))
    # Of classes the members are documented too, below the name of the class. A module may have the
    # name of a function.
    classes = {name for name in documented if name.rpartition(".")[2][0].isupper()}
    outside = [name for name in documented if name.rpartition(".")[0] not in classes]
    assert collections.Counter(name.rpartition(".")[2] for name in outside) == defined


def test_formulas_are_mathematics(pages):
    (path,) = (path for path in pages if path.name == "attention.html" and "api" in path.parts)
    text = path.read_text("utf-8")
    assert "<mi>head_dim</mi></msqrt>" in text.replace(' mathvariant="normal"', "")
    # What a formula's notation does not hold keeps its lines.
    (path,) = (path for path in pages if path.name.startswith("masks_") and "api" in path.parts)
    assert "1 0 0\n" in path.read_text("utf-8")


def test_formulas_in_tex_are_mathematics(pages):
    for path in pages:
        if path.parent.name == "notebooks" and path.name != "index.html":
            text = path.read_text("utf-8")
            assert "<math" in text
            assert r"\frac" not in text


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/pictures/*.png")), ids=lambda path: path.name)
def test_plots_are_cards_for_dark_pages(path):
    with Image.open(path) as image:
        card = image.convert("RGBA")
    assert card.getpixel((0, 0)) == (255, 255, 255, 0), "see docs/picture_cards.py"
    assert card.getpixel((card.width // 2, 0)) == (255, 255, 255, 255)


@pytest.fixture(scope="module")
def to_mathml() -> Callable[[list[str]], str | None]:
    return runpy.run_path(str(ROOT / "docs" / "formulas.py"))["to_mathml"]


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("x / 2 + b", "<mfrac><mrow><mi>x</mi></mrow><mrow><mn>2</mn></mrow></mfrac><mo>+</mo>"),
        ("W_1", "<msub><mi>W</mi><mrow><mn>1</mn></mrow></msub>"),
        ("d_model", "<mi>d_model</mi>"),
        ("x^-0.5", "<msup><mrow><mi>x</mi></mrow><mrow><mo>−</mo><mn>0.5</mn></mrow></msup>"),
        ("sqrt(x)", "<msqrt><mi>x</mi></msqrt>"),
        ("x^(1 / 2)", "<mrow><mn>1</mn><mo>/</mo><mn>2</mn></mrow></msup>"),
        ("x,  x being a number", "<mtext>x being a number</mtext>"),
    ],
)
def test_a_formula_is_converted(to_mathml, formula, shown):
    assert shown in to_mathml([formula]).replace(' mathvariant="normal"', "")


@pytest.mark.parametrize(
    "text", ["x / y z", "x_2i+1", "the mean of x", "p(x | y)", "(x + y", "x   y"]
)
def test_what_is_not_clear_is_not_converted(to_mathml, text):
    assert to_mathml([text]) is None


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"\text{one\_hot}", "<mtext>one_hot</mtext>"),
        (r"\max(0, x)", "<mi>max</mi>"),
        (r"\underbrace{x}_{\text{y}}", "<mo>⏟</mo></munder><mtext>y</mtext></munder>"),
        (r"a \sin b", f"<mi>a</mi>{THIN_SPACE}<mi>sin</mi><mo>\u2061</mo>{THIN_SPACE}<mi>b</mi>"),
        (r"a + \sin(b)", '<mo>+</mo><mi>sin</mi><mo>\u2061</mo><mo stretchy="false">('),
        (r"\sin\left(b\right)", "<mi>sin</mi><mo>\u2061</mo><mrow><mo>(</mo>"),
    ],
)
def test_a_formula_in_tex_is_converted(tex, shown):
    pytest.importorskip("sphinx", reason="needs the extra docs")
    to_mathml = runpy.run_path(str(ROOT / "docs" / "tex_formulas.py"))["to_mathml"]
    assert shown in re.sub(r"\n\s*", "", to_mathml(tex, as_block=False))
