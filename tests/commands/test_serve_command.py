"""A service of trained models: what it answers, what it refuses, and how it ends."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from command_line import assert_is_error
from small import PAIRS

import flax_transformer as ft
from flax_transformer.serving.limits import LimitsConfig

REASON = "needs the extra serve, and httpx"
pytest.importorskip("httpx", reason=REASON)
testclient: Any = pytest.importorskip("starlette.testclient", reason=REASON)
service: Any = pytest.importorskip("flax_transformer.serving.service", reason=REASON)
application: Any = pytest.importorskip("flax_transformer.serving.application", reason=REASON)
TEXT, TARGET, _ = PAIRS[7]
LIMITS = LimitsConfig(body_bytes=5000, texts=5, waiting=100)
KEY = "a key"
SECONDS = 60


@pytest.fixture(scope="module")
def app(folder, trained, untrained, tmp_path_factory):
    """An application that serves a model of each kind, without compiling all shapes before."""
    workdirs = [folder / name for name in ("run", "texts", "masked")]
    other = tmp_path_factory.mktemp("served") / "other"
    shutil.copytree(folder / "masked", other)
    models, routes = service.open_models([*workdirs, other], "average", None, LIMITS)
    return application.make_application(models, routes, LIMITS)


@pytest.fixture(scope="module")
def client(app):
    with testclient.TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_translations_are_those_of_the_command(client, run):
    texts = [text for text, _, _ in PAIRS[:5]]
    expected = run("translate", "--workdir", "run", *texts).out.splitlines()
    asked = {"q": texts, "source": "en", "target": "de"}
    assert client.post("/translate", json=asked).json() == {"translatedText": expected}
    # One text gives one; the form of libretranslatepy; and a language that need not be detected.
    form = {"q": TEXT, "source": "auto", "target": "de", "format": "text", "api_key": ""}
    assert client.post("/translate", data=form).json() == {"translatedText": TARGET}
    assert client.post("/translate", json={"q": ""}).json() == {"translatedText": ""}
    # What curl sends, and a form with several texts.
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    for content, found in (
        (json.dumps({"q": TEXT}), TARGET),
        (f"q={TEXT}&q={TEXT}".replace(" ", "+"), [TARGET, TARGET]),
    ):
        answer = client.post("/translate", content=content, headers=form)
        assert answer.json() == {"translatedText": found}
    assert client.get("/languages").json() == [{"code": "en", "name": "en", "targets": ["de"]}]


def test_requests_at_the_same_time_get_their_own_answers(client, run):
    texts = [text for text, _, _ in PAIRS]
    expected = run("translate", "--workdir", "run", *texts).out.splitlines()
    found = {}

    def ask(place: int) -> None:
        found[place] = client.post("/translate", json={"q": texts[place]}).json()["translatedText"]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place] for place in range(len(texts))] == expected


def test_encoders_answer_as_their_commands_do(client, run, folder):
    lines = run("classify", "--workdir", "texts", "two", "twenty-two").out.splitlines()
    answers = client.post("/classify", json={"texts": ["two", "twenty-two"]}).json()["answers"]
    assert [one["label"] for one in answers] == [line.split("\t")[0] for line in lines]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    asked = {"texts": "a [MASK] b", "model": "masked"}
    (filled,) = client.post("/fill", json=asked).json()["answers"]
    assert filled == json.loads(
        json.dumps(ft.load(folder / "masked").fill("a [MASK] b")[0]._asdict())
    )


def test_embeddings_have_the_form_of_openai(client, folder):
    expected = ft.load(folder / "masked").embed(["a b", "c"])
    asked = {"input": ["a b", "c"], "model": "masked"}
    answer = client.post("/v1/embeddings", json=asked).json()
    # "Equal", as another shape computes it.
    tolerance = 1e-5 * np.abs(expected).max()
    found = [one["embedding"] for one in answer["data"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert (answer["object"], answer["model"]) == ("list", "masked")
    asked |= {"encoding_format": "base64", "input": "a b"}
    (one,) = client.post("/v1/embeddings", json=asked).json()["data"]
    vector = np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
    np.testing.assert_allclose(vector, expected[0], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("path", "fields", "status", "reason"),
    [
        ("/translate", {}, 422, "q is missing"),
        ("/translate", {"q": 3}, 422, "q holds 3: give a text"),
        ("/translate", {"q": ["a", None]}, 422, "q holds None"),
        ("/translate", {"q": "a", "target": "fr"}, 422, "give one of en to de"),
        ("/translate", {"q": "a", "source": ["en"]}, 422, "give one of en to de"),
        ("/translate", {"q": "a", "format": "html"}, 422, "format must be text"),
        ("/translate", {"q": ["a"] * 6}, 413, "6 texts are more than 5"),
        ("/translate", {"q": "two " * 100}, 413, "tokens, but run reads 24: divide it"),
        ("/translate", {"q": "a" * 6000}, 413, "the body has more than 5,000 bytes"),
        ("/translate", {"q": "\ud800"}, 422, "half a character"),
        ("/translate", {"q": "a", "api_key": "\ud800"}, 422, "half a character"),
        ("/fill", {"texts": "a", "model": "\ud800"}, 422, "half a character"),
        (
            "/fill",
            {"texts": "[MASK]" * 16, "model": "masked"},
            413,
            "18 tokens, but masked reads 17",
        ),
        ("/translate/", {"q": "a"}, 404, "/translate/ is not here"),
        ("/detect", {"q": "a"}, 501, "languages are not detected"),
        ("/fill", {"texts": "a"}, 422, "model is missing: give one of masked, other"),
        ("/fill", {"texts": "a", "model": "nono"}, 404, "no model 'nono': give one of masked"),
        ("/fill", {"texts": "a", "model": ["x"]}, 404, "no model"),
        (
            "/v1/embeddings",
            {"input": "a", "model": "masked", "encoding_format": 1},
            422,
            "encoding",
        ),
        ("/nothing", {}, 404, "/nothing is not here: there are /, /attention, /classify"),
        ("/languages", {}, 405, "/languages does not take POST"),
    ],
)
def test_a_bad_request_gets_a_reason(client, path, fields, status, reason):
    answer = client.post(path, content=json.dumps(fields))
    assert answer.status_code == status
    error = answer.json().get("error", "")
    if path.startswith("/v1/"):
        error = error["message"]
    assert reason in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("content", "kind", "status", "reason"),
    [
        (b"{", "application/json", 400, "the body is not JSON"),
        (b'{"q": "\xff"}', "application/json", 400, "the body is not JSON in UTF-8"),
        (b"[1]", "application/json", 422, "not an object"),
        (b"[" * 4000, "application/json", 400, "the body is not JSON"),
        (b"q=a", "multipart/form-data", 415, "multipart/form-data is not read: send JSON"),
        (b"q=%ff%00", "application/x-www-form-urlencoded", 200, ""),
    ],
)
def test_a_bad_body_gets_a_reason(client, content, kind, status, reason):
    answer = client.post("/translate", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert reason in answer.json().get("error", "")
    # The service goes on.
    assert client.post("/translate", json={"q": TEXT}).json() == {"translatedText": TARGET}


def test_metrics_count_requests_by_known_paths(client):
    client.post("/nowhere/1")
    client.post("/nowhere/2")
    lines = client.get("/metrics").text.splitlines()
    assert 'waiting_texts{model="run"} 0.0' in lines
    assert not any("nowhere" in line for line in lines)
    (other,) = [
        line for line in lines if line.startswith('requests_total{path="other",status="404"')
    ]
    assert float(other.split()[-1]) >= 2


def test_a_service_with_a_key_asks_for_it(folder, trained):
    models, routes = service.open_models([folder / "run"], "average", None, LIMITS)
    with testclient.TestClient(application.make_application(models, routes, LIMITS, KEY)) as client:
        for headers in ({}, {"authorization": "Bearer another"}):
            for answer in (
                client.post("/translate", json={"q": TEXT}, headers=headers),
                client.get("/languages", headers=headers),
                client.get("/metrics", headers=headers),
            ):
                assert answer.status_code == 401
        headers = {"authorization": f"bearer {KEY}"}
        assert client.get("/languages", params={"api_key": KEY}).status_code == 200
        assert client.post("/translate", json={"q": TEXT}, headers=headers).status_code == 200
        assert client.post("/translate", json={"q": TEXT, "api_key": KEY}).status_code == 200
        assert client.get("/health").status_code == 200
    # The application has ended, and its models take nothing more.
    assert client.post("/translate", json={"q": TEXT, "api_key": KEY}).status_code == 503


@pytest.mark.usefixtures("trained", "untrained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], r"--host 0\.0\.0\.0 can be reached from other machines"),
        (["--api-key-file", "empty.txt"], "--api-key-file empty.txt is empty: write a key"),
        (["--api-key-file", "latin.txt"], "latin.txt is not UTF-8: write a key of text"),
        (["--host", ""], "--host is empty"),
        (["--workdir", "twin"], "run and twin both translate en to de: give one of them"),
        (["--api-key-file", "no.txt"], "No such file or directory: no.txt"),
        (["--port", "70000"], "--port"),
        (["--workdir", "nothing"], "nothing holds no run"),
        (["--limits.streams", "0"], "--limits.streams must be at least 1"),
        (["--workdir", "./run"], "2 workdirs are named run: rename one"),
        (["--limits.pixels", "0"], "--limits.pixels must be at least 1"),
        (["--limits.seconds", "0"], "--limits.seconds must be positive"),
        (["--prt", "3"], "--port"),
    ],
)
def test_a_mistake_gets_one_line(run, folder, tmp_path, words, message):
    shutil.copytree(folder / "run", tmp_path / "twin")
    words = [str(tmp_path / word) if word == "twin" else word for word in words]
    port = [] if "--port" in words else ["--port", str(_free_port())]
    assert_is_error(run("serve", "--workdir", "run", *port, *words), message)


@pytest.mark.usefixtures("trained")
def test_a_port_that_is_taken_gets_one_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--workdir", "run", "--port", str(port))
    assert_is_error(result, f"--port {port}: Address already in use: give another port")


@pytest.mark.usefixtures("trained")
def test_all_programs_are_compiled_before(client, folder):
    models, _ = service.open_models([folder / "masked"], "average", None, LIMITS)
    (model,) = models
    done = []
    model.warm_up(lambda: done.append(model))
    assert len(done) == model.num_programs == len({16, 17}) * 6 * len(("fill", "embed"))
    model.batcher.close()


@pytest.mark.usefixtures("trained")
def test_sigterm_ends_the_service_after_its_answers(folder):
    port = _free_port()
    words = ["serve", "--workdir", "run", "--port", str(port), "--limits.seconds", "3"]
    command = [sys.executable, "-m", "flax_transformer", *words]
    environment = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "serving run (translate) on http://127.0.0.1" in _line_of(process.stderr)
        assert _post(port, {"q": TEXT}) == {"translatedText": TARGET}
        # A sender who is slow, and one who breaks off, do not hinder others.
        with contextlib.closing(_half_a_request(port)) as slow:
            _half_a_request(port).close()
            assert _post(port, {"q": TEXT}) == {"translatedText": TARGET}
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert sum(line.startswith("POST /translate 200 ") for line in lines) == 2
    assert not any(TEXT in line or TARGET in line for line in lines)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _line_of(stream: Any) -> str:
    lines = []
    while line := stream.readline():
        lines.append(line)
        if "serving" in line:
            return line
    raise AssertionError("".join(lines))


def _post(port: int, fields: Any) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("POST", "/translate", json.dumps(fields))
    return json.loads(connection.getresponse().read())


def _half_a_request(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    connection.sendall(b"POST /translate HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{")
    return connection
