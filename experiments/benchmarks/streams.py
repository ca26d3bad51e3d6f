"""Measures a service of a language model: tokens a second of one stream and of many.

    flax-transformer serve --workdir runs/shakespeare
    python experiments/benchmarks/streams.py --streams 1 32

Each stream asks for a text, reads it as it is written, and asks for the next. Texts are drawn at
temperature 1 with seeds that differ, so none waits for another's answer. The share of a core that
this script needs is printed: it is taken from the service if both run on the same cores.
"""

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import numpy as np
from circumstances import circumstances

from flax_transformer.cli import execute
from flax_transformer.errors import UserError, check_options


class Times(NamedTuple):
    """When the tokens of all texts came.

    Attributes:
        first: seconds from each request to its first token.
        between: seconds between tokens of a text.
        tokens: number of all tokens.
        seconds: from the first request to the last token.
        processor_seconds: of this process.
    """

    first: list[float]
    between: list[float]
    tokens: int
    seconds: float
    processor_seconds: float


@dataclasses.dataclass(frozen=True)
class MeasureStreams:
    """Read texts of a language model from a service, many at a time."""

    streams: tuple[int, ...] = (1, 32)
    """Numbers of texts that are read at the same time, measured one after the other."""
    texts: int = 4
    """Texts that each stream reads."""
    max_tokens: int = 200
    """Tokens of a text."""
    prompt: str = "First"
    """Beginning of all texts."""
    host: str = "127.0.0.1"
    """Address of the service."""
    port: int = 8000
    """Port of the service."""

    def run(self) -> None:
        """Prints the figures as JSON."""
        check_options(self, "texts", "max_tokens", "port")
        figures = [self._figures(number) for number in self.streams]
        options = {name: str(value) for name, value in dataclasses.asdict(self).items()}
        print(json.dumps({"streams": figures, "options": options, **circumstances()}, indent=2))

    def _figures(self, number: int) -> dict[str, Any]:
        try:
            times = asyncio.run(self._read(number))
        except OSError as error:
            raise UserError(
                f"--port {self.port} does not answer ({error}): start flax-transformer serve"
            ) from error
        return {
            "streams": number,
            "tokens_per_second": times.tokens / times.seconds,
            "milliseconds_to_the_first_token": _milliseconds(times.first),
            "milliseconds_between_tokens": _milliseconds(times.between),
            "share_of_a_core_for_the_clients": times.processor_seconds / times.seconds,
        }

    async def _read(self, number: int) -> Times:
        first: list[float] = []
        between: list[float] = []

        async def stream(place: int) -> int:
            tokens = 0
            for text in range(self.texts):
                came = [time.perf_counter()]
                async for _ in self._text(seed=place * self.texts + text):
                    came.append(time.perf_counter())
                gaps = np.diff(came).tolist()
                first.extend(gaps[:1])
                between.extend(gaps[1:])
                tokens += len(gaps)
            return tokens

        started, processor = time.perf_counter(), time.process_time()
        tokens = await asyncio.gather(*map(stream, range(number)))
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
        return Times(first, between, sum(tokens), seconds, processor)

    async def _text(self, seed: int) -> AsyncIterator[bytes]:
        """Yields an event for each token of a text."""
        fields = {"prompt": self.prompt, "max_tokens": self.max_tokens, "seed": seed}
        body = json.dumps({**fields, "stream": True}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = await reader.readline()
        if b" 200 " not in status:
            raise UserError(f"--port {self.port} refuses: {(await reader.read()).decode():.200}")
        async for line in reader:
            if line.startswith(b"data: {"):
                yield line
        writer.close()


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    return dict(
        zip(("p50", "p95"), (1000 * np.percentile(seconds, (50, 95))).tolist(), strict=True)
    )


if __name__ == "__main__":
    execute(MeasureStreams, sys.argv[1:])
