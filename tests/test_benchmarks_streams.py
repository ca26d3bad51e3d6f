import json

import pytest
from benchmark_scripts import Handler, assert_refuses, imported, served

from flax_transformer.cli import execute


class Streams(Handler):
    """A service that streams as many parts as tokens are asked for."""

    def do_POST(self):
        asked = self.asked()
        is_refused = asked["prompt"] == "bad"
        self.send_response(422 if is_refused else 200)
        self.end_headers()
        parts = [] if is_refused else [json.dumps(asked)] * asked["max_tokens"]
        self.wfile.write("".join(f"data: {part}\n\n" for part in [*parts, "[DONE]"]).encode())


@pytest.fixture
def port():
    with served(Streams) as port:
        yield port


@pytest.fixture
def script():
    with imported("streams") as module:
        yield module


def test_every_token_is_counted(script, port, capsys, monkeypatch):
    words = ["--port", str(port), "--streams", "1", "3", "--texts", "2", "--max-tokens", "7"]
    read = script.MeasureStreams._read
    counts = []

    async def noted(self, number):
        times = await read(self, number)
        counts.append((times.tokens, len(times.first), len(times.between)))
        return times

    monkeypatch.setattr(script.MeasureStreams, "_read", noted)
    execute(script.MeasureStreams, words)
    found = json.loads(capsys.readouterr().out)["streams"]
    assert [one["streams"] for one in found] == [1, 3]
    # Texts times tokens; the first token of each text is not between two.
    assert counts == [(14, 2, 12), (42, 6, 36)]
    assert all(one["tokens_per_second"] > 0 for one in found)


def test_a_service_that_refuses_gets_one_line(script, port):
    assert_refuses(script.MeasureStreams, ["--port", "1"], "--port 1 does not answer")
    words = ["--port", str(port), "--prompt", "bad"]
    assert_refuses(script.MeasureStreams, words, f"--port {port} refuses")
