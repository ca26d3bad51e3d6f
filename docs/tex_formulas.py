"""Formulas of pages and notebooks, written in TeX, as MathML.

Browsers show MathML without a script, so the site needs no network.
"""

from html import escape
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx  # pyright: ignore[reportMissingImports]
from sphinx.util import logging  # pyright: ignore[reportMissingImports]

LOGGER = logging.getLogger(__name__)
NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
# The invisible sign between a function and its argument.
APPLY = "\u2061"


def register(app: Sphinx) -> None:
    """Makes `mathml` a value of the setting `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (_show_inline, None), (_show_block, None))


def to_mathml(tex: str, as_block: bool) -> str:
    """Converts a formula.

    Raises:
        MathError: the formula has a command that is not known.
    """
    text = latex2mathml.tex2mathml(tex, as_block=as_block).replace(NAMESPACE, "")
    tree = ElementTree.fromstring(text.replace("&ApplyFunction;", APPLY))
    for index in tree.iter("msub"):
        # What is written under a brace is below it, not at its side.
        if index[0].tag == "munder" and index[0][-1].text == "⏟":
            index.tag = "munder"
    for words in tree.iter("mtext"):
        words.text = (words.text or "").replace(r"\_", "_")
    for row in list(tree.iter()):
        _space_functions(row)
    return ElementTree.tostring(tree, "unicode", short_empty_elements=False)


def _space_functions(row: ElementTree.Element) -> None:
    """Puts spaces around `sin x`, which browsers would set like the product of two letters."""
    for child in row:
        # Such as max, which does not connect two things.
        if child.tag == "mo" and (child.text or "").isalpha():
            child.tag = "mi"
    children = list(row)
    for sign in [child for child in children if child.text == APPLY]:
        place = children.index(sign)
        if children[place + 1 : place + 2] and "(" not in "".join(children[place + 1].itertext()):
            row.insert(list(row).index(sign) + 1, _thin_space())
        if place > 1 and children[place - 2].tag != "mo":
            row.insert(list(row).index(sign) - 1, _thin_space())


def _thin_space() -> ElementTree.Element:
    return ElementTree.Element("mspace", width="0.1667em")


def _show_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_shown(node, as_block=False))
    raise nodes.SkipNode


def _show_block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{_shown(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def _shown(node: nodes.Element, as_block: bool) -> str:
    """A formula as MathML, or with a warning as it is written."""
    try:
        return to_mathml(node.astext(), as_block)
    except MathError as error:
        LOGGER.warning("cannot read the formula %r: %s", node.astext(), error, location=node)
        return f"<code>{escape(node.astext())}</code>"
