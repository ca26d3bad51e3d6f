"""The page at / in a browser: forms of all kinds of models, hostile texts, errors and keys."""

import configparser
import importlib.resources
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small import PAIRS

from flax_transformer.serving.limits import LimitsConfig
from flax_transformer.serving.served_model import ServedModel

REASON = "needs the extras serve and browser"
uvicorn: Any = pytest.importorskip("uvicorn", reason=REASON)
expect: Any = pytest.importorskip("playwright.sync_api", reason=REASON).expect
service: Any = pytest.importorskip("flax_transformer.serving.service", reason=REASON)
application: Any = pytest.importorskip("flax_transformer.serving.application", reason=REASON)
start_page: Any = pytest.importorskip("flax_transformer.serving.start_page", reason=REASON)
LIMITS = LimitsConfig()
TO_COMPILE = 60_000  # milliseconds, also on a busy machine
TEXT, TARGET, _ = PAIRS[7]
HOSTILE = "</script><script>window.isHacked = true</script>"
CARDS = ("run", "texts", "masked", "images", "videos", "language_model")


class Writer(ServedModel):
    """A language model of whom only the name is needed; its name is hostile."""

    does, shows_attention = "generate", False
    num_programs = num_waiting = property(lambda self: 0)

    def warm_up(self, done):
        """Has nothing to compile."""

    def close(self):
        """Has nothing to end."""


@pytest.fixture(scope="module")
def addresses(folder, trained, untrained) -> Iterator[dict[str | None, str]]:
    """Running services, by their keys."""
    workdirs = [folder / name for name in CARDS]
    servers, threads, found = [], [], {}
    for key in (None, "a key"):
        models, routes = service.open_models(workdirs, "average", None, LIMITS)
        models.append(Writer(HOSTILE, None, LIMITS))
        app = application.make_application(models, routes, LIMITS, key)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        servers.append(server)
        threads.append(threading.Thread(target=server.run))
        threads[-1].start()
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        found[key] = f"http://127.0.0.1:{port}/"
    yield found
    for server, thread in zip(servers, threads, strict=True):
        server.should_exit = True
        thread.join()


@pytest.fixture
def opened(browser, addresses) -> Iterator[Any]:
    """Opens the page; at the end it must not have complained, nor asked for anything elsewhere."""
    complaints, requests, contexts = [], [], []

    def open_page(key: str | None = None, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(addresses[key])
        expect(page.locator("section")).to_have_count(len(CARDS) + 1)
        assert page.evaluate("window.isHacked") is None
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    own = (*addresses.values(), "data:", "blob:")
    assert [url for url in requests if not url.startswith(own)] == []


def card(page: Any, name: str) -> Any:
    return page.get_by_role("region", name=name, exact=True)


def press(card: Any, name: str) -> None:
    card.get_by_role("button", name=name, exact=True).click()


def answer_of(card: Any) -> Any:
    return card.locator(".answer")


def test_a_translation_is_shown_and_its_attention(opened):
    page = opened()
    run = card(page, "run")
    expect(run.get_by_label("from")).to_have_value("en")
    run.get_by_label("Text").fill(TEXT)
    run.get_by_label("Text").press("Control+Enter")
    expect(answer_of(run)).to_have_text(TARGET, timeout=TO_COMPILE)
    with page.context.expect_page() as other:
        press(run, "Show attention")
    expect(other.value).to_have_title(f"{TEXT} → {TARGET}", timeout=TO_COMPILE)
    expect(other.value.get_by_role("application").first).to_have_attribute(
        "aria-label", re.compile(" of ")
    )


def test_classes_and_gaps_are_bars_in_order(opened):
    page = opened()
    texts, masked = card(page, "texts"), card(page, "masked")
    texts.get_by_label("Text").fill(HOSTILE[:9])
    press(texts, "Classify")
    expect(texts.locator(".bars li")).to_have_count(5, timeout=TO_COMPILE)
    shares = [float(text.split()[0]) for text in texts.locator(".share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    widths = texts.locator(".track span").evaluate_all(
        "all => all.map(one => parseFloat(one.style.width))"
    )
    assert widths == pytest.approx(shares, abs=0.06)
    masked.get_by_role("textbox").fill("a [MASK]")
    press(masked, "Fill")
    expect(masked.locator(".bars")).to_have_count(1, timeout=TO_COMPILE)
    # What the answer says is for people who hear it too.
    expect(answer_of(masked)).to_have_attribute("aria-live", "polite")


def test_a_drawing_and_a_file_are_classified(opened, folder):
    page = opened()
    images, videos = card(page, "images"), card(page, "videos")
    box = images.locator("canvas")
    box.scroll_into_view_if_needed()
    place = box.bounding_box()
    page.mouse.move(place["x"] + 30, place["y"] + 30)
    page.mouse.down()
    page.mouse.move(place["x"] + 100, place["y"] + 100, steps=3)
    page.mouse.up()
    expect(images.locator(".bars li")).to_have_count(5, timeout=TO_COMPILE)
    colors = box.evaluate("c => new Set(c.getContext('2d').getImageData(0, 0, 280, 280).data).size")
    assert colors > 1
    videos.locator("input[type=file]").set_input_files(str(folder / "frames.png"))
    expect(videos.locator(".bars li")).to_have_count(5, timeout=TO_COMPILE)
    expect(videos.get_by_alt_text("The chosen file")).to_be_visible()
    images.locator("input[type=file]").set_input_files(str(folder / "small.py"))
    expect(images.get_by_role("alert")).to_contain_text("is not read: send JSON or an image")
    expect(images.locator(".bars")).to_have_count(0)


@pytest.mark.parametrize("control", ["Clear", "dark on white"])
def test_a_cleared_picture_is_forgotten(opened, folder, control):
    page = opened()
    images = card(page, "images")
    chooser = images.locator("input[type=file]")
    chooser.set_input_files(str(folder / "frames.png"))
    expect(images.locator(".bars li")).to_have_count(5, timeout=TO_COMPILE)
    images.get_by_text(control, exact=True).click()
    expect(answer_of(images)).to_be_empty()
    expect(images.get_by_alt_text("The chosen file")).to_be_hidden()
    expect(chooser).to_have_value("")
    press(images, "Classify")
    expect(images.get_by_role("alert")).to_have_text("draw or choose an image first")
    press(card(page, "videos"), "Classify")
    expect(card(page, "videos").get_by_role("alert")).to_have_text("choose a video first")


def test_a_drawing_takes_the_place_of_a_file(opened, folder):
    page = opened()
    images = card(page, "images")
    chooser = images.locator("input[type=file]")
    chooser.set_input_files(str(folder / "frames.png"))
    expect(images.get_by_alt_text("The chosen file")).to_be_visible()
    images.locator("canvas").click()
    expect(chooser).to_have_value("")
    expect(images.get_by_alt_text("The chosen file")).to_be_hidden()
    expect(images.locator(".bars li")).to_have_count(5, timeout=TO_COMPILE)


def test_a_text_too_long_for_attention_opens_no_page(opened):
    page = opened()
    run = card(page, "run")
    run.get_by_label("Text").fill("two " * 40)
    press(run, "Show attention")
    expect(run.get_by_role("alert")).to_have_text(
        re.compile(r"the text has \d+ tokens, but attention is shown for \d+: cut it")
    )
    assert page.context.pages == [page]
    expect(run.get_by_role("button", name="Show attention")).to_be_enabled()


def test_reasons_are_shown_as_they_are(opened):
    page = opened()
    texts = card(page, "texts")
    texts.get_by_label("Text").fill("two " * 40)
    press(texts, "Classify")
    expect(texts.get_by_role("alert")).to_have_text(
        re.compile(r"a text has \d+ tokens, but texts reads 17: divide it")
    )
    texts.get_by_label("Text").fill("two")
    press(texts, "Classify")
    expect(texts.locator(".bars li")).to_have_count(5, timeout=TO_COMPILE)
    expect(texts.get_by_role("alert")).to_be_hidden()


def stream(*texts: str, end: str = "data: [DONE]\n\n") -> str:
    """What a service sends, with ends of lines of both kinds."""
    parts = [json.dumps({"choices": [{"index": 0, "text": text}]}) for text in texts]
    return "".join(f"data: {part}\r\n\r\n" for part in parts) + end


def test_a_text_appears_while_it_is_written(opened):
    page, asked = opened(), []

    def answer(route: Any) -> None:
        asked.append(route.request.post_data_json)
        failure = 'data: {"error": {"message": "it broke"}}\n\n'
        body = stream("b\n", HOSTILE, "ü") if len(asked) == 1 else stream("c", end=failure)
        route.fulfill(body=body, content_type="text/event-stream; charset=utf-8")

    page.route("**/v1/completions", answer)
    writer = card(page, HOSTILE)
    writer.get_by_label("Prompt").fill("a ")
    writer.get_by_label("tokens").fill("7")
    writer.get_by_label("temperature").fill("0.5")
    expect(writer.get_by_role("button", name="Show attention")).to_have_count(0)
    press(writer, "Write")
    expect(answer_of(writer)).to_have_text(f"a b\n{HOSTILE}ü")
    fields = {"prompt": "a ", "max_tokens": 7, "temperature": 0.5, "stream": True}
    assert asked == [{"model": HOSTILE, **fields}]
    press(writer, "Write")
    expect(writer.get_by_role("alert")).to_have_text("it broke")
    expect(answer_of(writer)).to_have_text("a c")  # the beginning stays
    expect(writer.get_by_role("button", name="Stop")).to_be_disabled()
    assert page.evaluate("window.isHacked") is None


def test_a_language_model_writes_on_the_page(opened):
    page = opened()
    model = card(page, "language_model")
    assert model.get_by_role("button").all_inner_texts() == ["Write", "Stop", "Show attention"]
    model.get_by_label("Prompt").fill("bad")
    model.get_by_label("tokens").fill("7")
    model.get_by_label("temperature").fill("0")
    press(model, "Write")
    expect(answer_of(model)).to_have_text(re.compile("^bad(.|\n)"), timeout=TO_COMPILE)
    model.get_by_label("tokens").fill("100000")
    press(model, "Write")
    press(model, "Stop")
    expect(model.get_by_role("button", name="Stop")).to_be_disabled()
    expect(model.get_by_role("button", name="Write")).to_be_enabled()
    expect(model.get_by_role("alert")).to_be_hidden()
    model.get_by_label("Prompt").fill("b" * 30)
    press(model, "Write")
    # The reason in the form of OpenAI's interface.
    expect(model.get_by_role("alert")).to_have_text(
        "a prompt has 30 tokens, but language_model reads 17: shorten it"
    )


def test_a_service_that_has_ended_is_reported(opened):
    page = opened()
    page.route("**/translate", lambda route: route.abort())
    run = card(page, "run")
    run.get_by_label("Text").fill(TEXT)
    press(run, "Translate")
    expect(run.get_by_role("alert")).to_contain_text("the service does not answer")


def test_a_key_is_asked_for_and_forgotten(opened):
    page = opened("a key")
    run = card(page, "run")
    run.get_by_label("Text").fill(TEXT)
    press(run, "Translate")
    expect(run.get_by_role("alert")).to_contain_text("the key is missing or wrong")
    page.get_by_role("link", name="metrics").click()
    expect(page.locator("footer").get_by_role("alert")).to_contain_text("the key is missing")
    page.get_by_label("Key").fill("a key")
    page.get_by_role("link", name="metrics").click()
    expect(page.get_by_role("region", name="Metrics")).to_contain_text("# HELP")
    expect(page.locator("footer").get_by_role("alert")).to_be_hidden()
    press(run, "Translate")
    expect(answer_of(run)).to_have_text(TARGET, timeout=TO_COMPILE)
    with page.context.expect_page() as other:
        press(run, "Show attention")
    expect(other.value).to_have_title(f"{TEXT} → {TARGET}", timeout=TO_COMPILE)
    # Neither key nor text is in the address.
    assert other.value.url.endswith("/attention")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        *(0, 0, "")
    ]
    page.reload()
    expect(page.get_by_label("Key")).to_have_value("")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_fits_and_has_both_themes(opened, width):
    page = opened(viewport={"width": width, "height": 844}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    expect(page.get_by_label("Key")).to_be_hidden()
    for name in ("interface", "metrics", "health"):
        expect(page.get_by_role("link", name=name)).to_be_visible()


def test_everything_has_a_name_and_is_reached_by_keys(opened):
    page = opened()
    run = card(page, "run")
    run.get_by_label("from").focus()
    names = []
    for _ in range(4):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert names[2:] == ["Translate", "Show attention"]
    for tag in ("button", "input:not([type=hidden])", "select", "textarea"):
        for control in page.locator(f"{tag}:visible").all():
            name = control.evaluate(
                "e => e.labels?.[0]?.textContent || e.ariaLabel || e.textContent"
            )
            assert name.strip(), control


def test_the_page_may_load_nothing(addresses):
    with urllib.request.urlopen(addresses[None]) as answer:
        policy = answer.headers["Content-Security-Policy"]
        page = answer.read().decode()
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    # The name of the writer is within the page's data.
    assert "<script>window" not in page
    assert not re.search(r"""(src|href)="?(https?:)?//""", page)


def test_all_files_of_the_page_are_used_and_packaged():
    folder = importlib.resources.files("flax_transformer.serving") / "page"
    names = {file.name for file in folder.iterdir()}
    assert names == {"start_page.html", *start_page._STYLES, *start_page._SCRIPTS}
    config = configparser.ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    assert config["options.package_data"]["flax_transformer.serving"] == "page/*"
