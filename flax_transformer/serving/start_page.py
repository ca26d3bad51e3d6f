"""The page at /: a form for each served model, without anything from a network."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from flax_transformer.serving.described_route import TEXT, Answer, Described
from flax_transformer.serving.served_model import ServedModel
from flax_transformer.visualization.page_files import digest, json_in_page, read_files

_PACKAGE = "flax_transformer.serving"
_STYLES = ("start_page.css",)
_SCRIPTS = (
    "requests.js",
    "cards.js",
    "text_cards.js",
    "picture_card.js",
    "completion_card.js",
    "start_page.js",
)
# Only this page's own style and script, and requests to this service; pictures are those chosen.
_POLICY = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; connect-src 'self'; "
    "img-src blob: data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def start_route(models: Sequence[ServedModel]) -> Described:
    """Makes the route of the page. It needs no key: it shows names of models and languages."""
    shown = [model.described() for model in models]

    async def start(request: Request) -> Response:
        page, policy = make_start_page(shown, needs_key=request.app.state.key is not None)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    return Described(
        "/",
        start,
        does="Shows a page with a form for each model.",
        example={},
        answer=Answer(TEXT, "text/html"),
    )


def make_start_page(models: Sequence[Mapping[str, Any]], *, needs_key: bool) -> tuple[str, str]:
    """Makes the page and its content security policy.

    Args:
        models: what the page knows of each; see `ServedModel.described`.
        needs_key: whether requests must have a key, for which the page has a field.
    """
    style = "\n".join([read_files("theme.css"), read_files(*_STYLES, package=_PACKAGE)])
    script = "\n".join([read_files("theme.js"), read_files(*_SCRIPTS, package=_PACKAGE)])
    page = string.Template(read_files("start_page.html", package=_PACKAGE)).substitute(
        style=style,
        script=script,
        service=json_in_page({"models": models, "needsKey": needs_key}),
    )
    return page, _POLICY.format(style=digest(style), script=digest(script))
