"""Measures a translation service under load, and checks every answer.

    flax-transformer serve --workdir runs/multi30k_en_de
    flax-transformer translate --workdir runs/multi30k_en_de < lines.en > lines.de
    python experiments/benchmarks/serving.py lines.en --expected lines.de --clients 64

Each client sends one sentence at a time over a connection that it keeps, and sends the next when it
has the answer. The share of a core that this script needs is printed: it is taken from the service
if both run on the same cores.
"""

import asyncio
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances
from tyro.conf import Positional

from flax_transformer.cli import execute
from flax_transformer.data.files.text_files import read_lines
from flax_transformer.errors import UserError, check_options


class Load(NamedTuple):
    """What came back.

    Attributes:
        answers: of the sentences, in order.
        latencies: seconds from the request to the answer, of each sentence.
        seconds: from the first request to the last answer.
        processor_seconds: of this process.
    """

    answers: list[str]
    latencies: list[float]
    seconds: float
    processor_seconds: float


@dataclasses.dataclass(frozen=True)
class MeasureService:
    """Send sentences to a translation service, many at a time."""

    file: Positional[Path]
    """File of sentences, one a line."""
    expected: Path | None = None
    """File of the right answers, one a line."""
    clients: int = 64
    """Clients that ask at the same time."""
    num_sentences: int = 5000
    """Sentences to send; the file is repeated if it has fewer."""
    host: str = "127.0.0.1"
    """Address of the service."""
    port: int = 8000
    """Port of the service."""

    def run(self) -> None:
        """Prints the figures as JSON."""
        check_options(self, "clients", "num_sentences", "port")
        lines = self._lines(self.file)
        load = asyncio.run(self._load(lines))
        milliseconds = 1000 * np.percentile(load.latencies, (50, 95, 100))
        figures: dict[str, Any] = {
            "sentences_per_second": len(lines) / load.seconds,
            "seconds": load.seconds,
            "milliseconds": dict(zip(("p50", "p95", "max"), milliseconds.tolist(), strict=True)),
            "share_of_a_core_for_the_clients": load.processor_seconds / load.seconds,
        }
        if self.expected is not None:
            pairs = zip(load.answers, self._lines(self.expected), strict=True)
            figures["wrong_answers"] = sum(answer != right for answer, right in pairs)
        print(json.dumps({**figures, "options": self._options(), **circumstances()}, indent=2))

    def _lines(self, file: Path) -> list[str]:
        lines = list(read_lines(file))
        if not lines:
            raise UserError(f"{file} is empty: give sentences, one a line")
        return (lines * -(-self.num_sentences // len(lines)))[: self.num_sentences]

    def _options(self) -> dict[str, Any]:
        return {name: str(value) for name, value in dataclasses.asdict(self).items()}

    async def _load(self, lines: list[str]) -> Load:
        answers, latencies = [""] * len(lines), [0.0] * len(lines)
        places = iter(range(len(lines)))

        async def client() -> None:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            for place in places:
                started = time.perf_counter()
                writer.write(self._request(lines[place]))
                answers[place] = await _answer(reader)
                latencies[place] = time.perf_counter() - started
            writer.close()

        started, processor = time.perf_counter(), time.process_time()
        try:
            await asyncio.gather(*(client() for _ in range(self.clients)))
        except OSError as error:
            raise UserError(
                f"--port {self.port} does not answer ({error}): start flax-transformer serve"
            ) from error
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
        return Load(answers, latencies, seconds, processor)

    def _request(self, line: str) -> bytes:
        body = json.dumps({"q": line}).encode()
        head = f"POST /translate HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> str:
    """Reads the answer to a request; an error is an answer too."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length:")[2].split("\r\n", 1)[0]
    answer = json.loads(await reader.readexactly(int(length)))
    return answer.get("translatedText", f"error: {answer.get('error')}")


if __name__ == "__main__":
    execute(MeasureService, sys.argv[1:])
