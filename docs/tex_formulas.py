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


def register(app: Sphinx) -> None:
    """Makes `mathml` a value of the setting `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (_show_inline, None), (_show_block, None))


def to_mathml(tex: str, as_block: bool) -> str:
    """Converts a formula.

    Raises:
        MathError: the formula has a command that is not known.
    """
    text = latex2mathml.tex2mathml(tex, as_block=as_block).replace(NAMESPACE, "")
    tree = ElementTree.fromstring(text.replace("&ApplyFunction;", "\u2061"))
    for index in tree.iter("msub"):
        # What is written under a brace is below it, not at its side.
        if index[0].tag == "munder" and index[0][-1].text == "⏟":
            index.tag = "munder"
    for words in tree.iter("mtext"):
        words.text = (words.text or "").replace(r"\_", "_")
    return ElementTree.tostring(tree, "unicode", short_empty_elements=False)


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
