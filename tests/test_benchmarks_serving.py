import json

import pytest
from benchmark_scripts import Handler, assert_refuses, imported, served

from flax_transformer.cli import execute

LINES = ["a dog", "zwei Züge", "three", "four\tfive"]


class Uppercase(Handler):
    """A service whose translation is the text in capitals."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = self.asked()
        answer = {"translatedText": asked["q"].upper()}
        if asked["q"] == "three":
            answer = {"error": "no threes"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def port():
    with served(Uppercase) as port:
        yield port


@pytest.fixture
def script():
    with imported("serving") as module:
        yield module


def test_every_answer_is_compared(script, port, tmp_path, capsys):
    file, expected = tmp_path / "lines", tmp_path / "expected"
    file.write_text("\n".join(LINES) + "\n", "utf-8")
    expected.write_text("\n".join(map(str.upper, LINES)) + "\n", "utf-8")
    words = [str(file), "--expected", str(expected), "--port", str(port)]
    execute(script.MeasureService, [*words, "--num-sentences", "11"])
    figures = json.loads(capsys.readouterr().out)
    # Lines 3 and 7 of 11 are the one that is answered by an error; line 11 too.
    assert figures["wrong_answers"] == 3
    assert figures["sentences_per_second"] == pytest.approx(11 / figures["seconds"])
    assert figures["milliseconds"]["p50"] <= figures["milliseconds"]["p95"]
    assert figures["options"]["clients"] == "64"


def test_a_service_that_does_not_run_gets_one_line(script, tmp_path):
    file = tmp_path / "lines"
    file.write_text("a\n")
    assert_refuses(script.MeasureService, [str(file), "--port", "1"], "--port 1 does not answer")
