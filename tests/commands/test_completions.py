"""Continuations by OpenAI's interface: whole, in parts, and what is refused."""

import json
from typing import Any

import pytest
from command_line import assert_is_error

from flax_transformer.runtime import free_memory
from flax_transformer.serving.limits import LimitsConfig

REASON = "needs the extra serve, and httpx"
pytest.importorskip("httpx", reason=REASON)
testclient: Any = pytest.importorskip("starlette.testclient", reason=REASON)
service: Any = pytest.importorskip("flax_transformer.serving.service", reason=REASON)
application: Any = pytest.importorskip("flax_transformer.serving.application", reason=REASON)
LIMITS = LimitsConfig(body_bytes=5000, texts=5, waiting=7, streams=4, seconds=30.0)
PATH = "/v1/completions"
LENGTH = ["--decoding.max-extra-length", "25"]


@pytest.fixture(scope="module")
def client(folder, untrained):
    models, routes = service.open_models([folder / "language_model"], "average", None, LIMITS)
    app = application.make_application(models, routes, LIMITS)
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        yield client


def complete(client: Any, **fields: Any) -> Any:
    answer = client.post(PATH, json={"model": "language_model", "max_tokens": 25, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: Any, **fields: Any) -> list[Any]:
    answer = client.post(PATH, json={"max_tokens": 25, "stream": True, **fields})
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = [event.removeprefix("data: ") for event in answer.text.split("\n\n")]
    assert found[-2:] == ["[DONE]", ""]
    return list(map(json.loads, found[:-2]))


def test_continuations_are_those_of_the_command(client, run):
    prompts = ("bad", "cab")
    lines = [run("generate", "--workdir", "language_model", *LENGTH, prompt) for prompt in prompts]
    found = complete(client, prompt=prompts, temperature=0)
    texts = [prompt + one["text"] for prompt, one in zip(prompts, found["choices"], strict=True)]
    assert [text.strip() for text in texts] == [line.out.strip() for line in lines]
    assert [one["index"] for one in found["choices"]] == [0, 1]
    assert {one["finish_reason"] for one in found["choices"]} <= {"stop", "length"}
    assert found["object"] == "text_completion"
    assert found["usage"]["prompt_tokens"] == 6
    assert found["usage"]["total_tokens"] == 6 + found["usage"]["completion_tokens"]


def test_samples_depend_on_the_seed_only(client):
    asked = {"prompt": "ab", "n": 3, "temperature": 1.3, "top_p": 0.9}
    found = [
        [one["text"] for one in complete(client, **asked, seed=seed)["choices"]]
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 3


def test_the_parts_of_a_stream_are_the_whole(client):
    asked = {"prompt": ["ab", "d"], "n": 2, "seed": 3, "echo": True}
    whole = complete(client, **asked)
    found = events(client, **asked, stream_options={"include_usage": True})
    *parts, last = found
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert len(parts) > 20
    texts, reasons = [""] * 4, [None] * 4
    for part in parts:
        (choice,) = part["choices"]
        texts[choice["index"]] += choice["text"]
        reasons[choice["index"]] = choice["finish_reason"]
    assert texts == [one["text"] for one in whole["choices"]]
    assert reasons == [one["finish_reason"] for one in whole["choices"]]
    assert texts[3].startswith("d")


def test_a_stop_string_ends_a_text_before_it(client):
    (whole,) = complete(client, prompt="ab", temperature=0)["choices"]
    stop = whole["text"][5:7]
    asked = {"prompt": "ab", "temperature": 0, "stop": stop}
    (cut,) = complete(client, **asked)["choices"]
    assert cut["text"] == whole["text"].partition(stop)[0]
    assert cut["finish_reason"] == "stop"
    assert "".join(one["choices"][0]["text"] for one in events(client, **asked)) == cut["text"]
    # Tokens are characters here: what is written while the answer is sent is not counted.
    assert complete(client, **asked)["usage"]["completion_tokens"] == len(cut["text"] + stop)


def test_all_models_are_listed(client):
    answer = client.get("/v1/models").json()
    assert [(one["id"], one["object"]) for one in answer["data"]] == [("language_model", "model")]
    assert client.get("/v1/models/language_model").json() == answer["data"][0]
    assert "/v1/models/x is not here" in client.get("/v1/models/x").json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({}, 422, "prompt is missing"),
        ({"prompt": []}, 422, "prompt is empty"),
        ({"prompt": [1, 2]}, 422, "prompt holds 1: give a text"),
        ({"prompt": "a", "max_token": 3}, 422, "did you mean 'max_tokens'"),
        ({"prompt": "a", "include_usage": True}, 422, "unknown field of a request"),
        ({"prompt": "a", "max_tokens": 0}, 422, "max_tokens 0 does not fit: give a whole number"),
        ({"prompt": "a", "max_tokens": True}, 422, "max_tokens True"),
        ({"prompt": "a", "max_tokens": 1.5}, 422, "max_tokens 1.5"),
        ({"prompt": "a", "max_tokens": "5"}, 422, "max_tokens '5'"),
        ({"prompt": "a", "temperature": 2.1}, 422, "give a number of at least 0 and at most 2"),
        ({"prompt": "a", "temperature": -1}, 422, "temperature -1"),
        ({"prompt": "a", "top_p": 1.5}, 422, "top_p 1.5"),
        ({"prompt": "a", "seed": 2**70}, 422, "seed"),
        ({"prompt": "a", "n": 6}, 413, "6 texts are more than 5"),
        ({"prompt": "a", "stop": ""}, 422, "stop does not fit"),
        ({"prompt": "a", "stop": [3]}, 422, "stop holds 3"),
        ({"prompt": "a", "stream": 1}, 422, "stream 1 does not fit: give true or false"),
        ({"prompt": "a", "stream_options": 1}, 422, "stream_options 1"),
        ({"prompt": "a", "logprobs": 3}, 422, "logprobs 3 is not supported: leave it out"),
        ({"prompt": "a", "model": "nono"}, 404, "no model 'nono': give one of language_model"),
        ({"prompt": "a" * 18}, 413, "a prompt has 18 tokens, but language_model reads 17"),
        ({"prompt": "a" * 18, "stream": True}, 413, "a prompt has 18 tokens"),
    ],
)
def test_a_bad_request_gets_a_reason_in_the_form_of_openai(client, fields, status, reason):
    answer = client.post(PATH, json=fields)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert reason in error["message"]
    assert error["type"] == "invalid_request_error"
    assert "\n" not in error["message"]


def test_nan_is_not_a_number_here(client):
    answer = client.post(PATH, content=b'{"prompt": "a", "temperature": NaN}')
    assert answer.status_code == 422
    assert "temperature nan does not fit" in answer.json()["error"]["message"]
    assert complete(client, prompt="a", temperature=None)["choices"]


def test_a_text_that_takes_too_long_is_not_written_further(folder, untrained):
    limits = LimitsConfig(seconds=0.5, streams=1)
    models, routes = service.open_models([folder / "language_model"], "average", None, limits)
    app = application.make_application(models, routes, limits)
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        # It never ends.
        asked = {"prompt": "bad", "max_tokens": 10**6, "temperature": 0}
        # The first request also compiles: it may end before or after its first token.
        answers = [client.post(PATH, json={**asked, "stream": True}).text for _ in range(2)]
        assert all("within 0.5 s: ask for fewer tokens" in answer for answer in answers)
        assert '"type": "server_error"' in answers[1]
        answer = client.post(PATH, json=asked)
        assert answer.status_code == 503
        assert answer.json()["error"]["type"] == "server_error"


def test_a_model_that_does_not_fit_gets_one_line(folder, untrained, monkeypatch, run, tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:  7 kB\n")
    monkeypatch.setattr(free_memory, "MEMINFO", meminfo)
    words = ["serve", "--workdir", "masked", "--workdir", "language_model", "--port", "8765"]
    assert_is_error(run(*words), r"language_model needs 0\.0 GB for its lar")
    meminfo.unlink()
    assert free_memory.free_memory() is None
