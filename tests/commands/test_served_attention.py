"""Pages of attention from a service: those of the command, and what is refused."""

import asyncio
from typing import Any

import pytest
from small import PAIRS

import flax_transformer as ft
from flax_transformer.serving.limits import LimitsConfig
from flax_transformer.visualization.attention_view import view_readings
from flax_transformer.visualization.reading import Reading

REASON = "needs the extra serve, and httpx"
pytest.importorskip("httpx", reason=REASON)
testclient: Any = pytest.importorskip("starlette.testclient", reason=REASON)
service: Any = pytest.importorskip("flax_transformer.serving.service", reason=REASON)
application: Any = pytest.importorskip("flax_transformer.serving.application", reason=REASON)
attention_answers: Any = pytest.importorskip("flax_transformer.serving.attention_answers")
LIMITS = LimitsConfig()
TEXTS = {"run": PAIRS[7].source, "texts": "two", "masked": "a [MASK] b", "language_model": "bad"}


@pytest.fixture(scope="module")
def client(folder, trained, untrained):
    workdirs = [folder / name for name in (*TEXTS, "images")]
    models, routes = service.open_models(workdirs, "average", None, LIMITS)
    app = application.make_application(models, routes, LIMITS)
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def model(folder, untrained):
    (model,), _ = service.open_models([folder / "texts"], "average", None, LIMITS)
    yield model
    model.close()


@pytest.mark.parametrize("name", TEXTS)
def test_a_page_shows_what_the_predictor_computes(client, folder, name):
    given = {"model": name, "text": TEXTS[name]}
    answer = client.get("/attention", params=given)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    reading = Reading(**ft.load(folder / name).attend(TEXTS[name]), name=name)
    assert answer.text == view_readings([reading], title=reading.title).page
    # What the form of the start page sends.
    assert client.post("/attention", data=given).text == answer.text


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        ({"text": "two"}, 422, "model is missing: give one of run, texts, masked, language_model"),
        ({"model": "images", "text": "two"}, 404, "no model 'images'"),
        ({"model": "run"}, 422, "text is missing: give a text"),
        ({"model": "run", "text": " "}, 422, "text"),
        ({"model": "masked", "text": "no gap"}, 422, "text 1 has no [MASK]"),
        ({"model": "run", "text": "two " * 30}, 413, "attention is shown for 24"),
        ({"model": "texts", "text": "two " * 9}, 413, "but attention is shown for 17: cut it"),
        ({"model": "run", "text": ["a", "b"]}, 422, "text holds 2 texts: give one"),
    ],
)
def test_a_bad_request_gets_a_reason(client, given, status, reason):
    answer = client.post("/attention", json=given)
    assert reason in answer.json().get("error", "")
    assert answer.status_code == status


def test_a_text_is_escaped(client):
    page = client.get("/attention", params={"model": "texts", "text": "</script><b>"}).text
    assert "<b>" not in page


def test_few_pages_wait_and_the_event_loop_goes_on(model, monkeypatch):
    pages = attention_answers.AttentionPages()
    monkeypatch.setattr(pages, "_make", lambda model, text, options: text)

    async def ask_many() -> list[Any]:
        asked = [pages.make(model, "two") for _ in range(20)]
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(ask_many())
    assert answers.count("two") == 16
    assert [one.status for one in answers if one != "two"] == [429] * 4


def test_programs_of_old_lengths_are_forgotten(model, monkeypatch):
    cleared = []
    monkeypatch.setattr(attention_answers, "PAGES_OF_PROGRAMS", 2)
    counted = attention_answers.compiled_attention_weights
    monkeypatch.setattr(
        attention_answers, "compiled_attention_weights", Cleared(counted, cleared), raising=True
    )
    pages = attention_answers.AttentionPages()
    for text in ("two", "two two", "two"):
        assert "two" in asyncio.run(pages.make(model, text))
    assert cleared == [True]


class Cleared:
    """Notes that programs are forgotten."""

    def __init__(self, compiled: Any, cleared: list[bool]):
        self._compiled, self._cleared = compiled, cleared

    def clear_cache(self) -> None:
        self._compiled.clear_cache()
        self._cleared.append(self._compiled._cache_size() == 0)
