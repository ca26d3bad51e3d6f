import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flax_transformer.visualization import AttentionView


@pytest.fixture
def show(browser, tmp_path) -> Iterator[Callable[..., Any]]:
    """Opens a view; at the end no page may have complained, or asked for anything."""
    expect = pytest.importorskip("playwright.sync_api").expect
    complaints, requests, contexts = [], [], []

    def open_view(view: AttentionView, frame: str = "", **options: Any) -> Any:
        options = {"viewport": {"width": 1103, "height": 907}, "color_scheme": "light", **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        address = view.save(tmp_path / "page.html").as_uri()
        page.goto(address)
        within = page.frame_locator(frame) if frame else page
        drawing = within.get_by_role("application").first
        expect(drawing).to_have_attribute("aria-label", re.compile(" of "))
        requests.remove(address)
        return page

    yield open_view
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == []
