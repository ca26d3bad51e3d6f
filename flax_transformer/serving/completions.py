"""Continuation of texts by OpenAI's interface for completions."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from flax_transformer.serving.completion_request import CompletionRequest, read_completion
from flax_transformer.serving.described_route import (
    INTEGER,
    MODEL,
    OPENAI,
    TEXT,
    TRUTH,
    Answer,
    Described,
    Field,
    list_of,
    model_field,
    one_or_more,
    record_of,
)
from flax_transformer.serving.growing_text import GrowingText
from flax_transformer.serving.language_model import ServedLanguageModel
from flax_transformer.serving.limits import RequestError, openai_error
from flax_transformer.serving.requests import read_request
from flax_transformer.serving.served_model import named
from flax_transformer.serving.text_writer import Sampling, WrittenToken


def completion_routes(models: Sequence[ServedLanguageModel]) -> list[Described]:
    """Makes the route /v1/completions.

    Reference:
        OpenAI's API, https://platform.openai.com/docs/api-reference/completions.
    """

    async def complete(request: Request) -> Response:
        fields = await read_request(request)
        completion = _Completion(named(models, fields), read_completion(fields))
        if not completion.asked.stream:
            return JSONResponse(await completion.whole())
        events = completion.events()
        # The first one comes before the headers: so an error still has its status.
        first = await anext(events)
        return StreamingResponse(_with_first(first, events), media_type="text/event-stream")

    first = models[0]
    return [
        Described(
            f"{OPENAI}completions",
            complete,
            method="POST",
            does="Continues texts; with stream, as server-sent events that end in [DONE].",
            fields=[model_field([model.name for model in models]), *_FIELDS],
            example={MODEL: first.name, "prompt": first.example_text, "max_tokens": 4, "seed": 1},
            answer=Answer(_ANSWER),
        )
    ]


# The fields of `CompletionRequest`; their limits are checked there.
_FIELDS = (
    Field("prompt", one_or_more(TEXT), "Text or texts to continue.", is_required=True),
    Field("max_tokens", {"type": "integer", "default": 16}, "Tokens to write."),
    Field("n", {"type": "integer", "default": 1}, "Continuations of each prompt."),
    Field("temperature", {"type": "number", "default": 1}, "0: the most probable tokens."),
    Field("top_p", {"type": "number", "default": 1}, "Probability of the nucleus."),
    Field("seed", INTEGER, "Of sampling; each request has another one by default."),
    Field("stop", one_or_more(TEXT), "String or strings that end a text."),
    Field("stream", {"type": "boolean", "default": False}, "Send parts as they are written."),
    Field("stream_options", record_of(include_usage=TRUTH), "Send numbers of tokens at the end."),
    Field("echo", {"type": "boolean", "default": False}, "Begin the answer with the prompt."),
)
_ANSWER = record_of(
    id=TEXT,
    object=TEXT,
    created=INTEGER,
    model=TEXT,
    choices=list_of(
        record_of(index=INTEGER, text=TEXT, logprobs={"type": "null"}, finish_reason=TEXT)
    ),
    usage=record_of(prompt_tokens=INTEGER, completion_tokens=INTEGER, total_tokens=INTEGER),
)


async def _with_first(first: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for event in events:
        yield event


class _Completion:
    """The answer to one request.

    Args:
        model: that writes it.
        asked: what is asked for.
    """

    def __init__(self, model: ServedLanguageModel, asked: CompletionRequest):
        self.asked, self._limit = asked, model.limits.seconds
        prompts = [model.encode(prompt) for prompt in asked.prompts]
        sampling = Sampling(asked.seed, asked.temperature, asked.top_p)
        self._written = model.write(prompts, asked.max_tokens, asked.n, sampling)
        decode = model.predictor.tokenizer.decode
        self._texts = [GrowingText(decode, asked.stop) for _ in self._written.texts]
        self._num_prompt_tokens, self._num_written = sum(map(len, prompts)), 0
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.name,
        }

    async def whole(self) -> dict[str, Any]:
        """Returns the answer when all is written."""
        texts, reasons = [""] * len(self._texts), [""] * len(self._texts)
        async for place, part, reason in self._parts():
            texts[place] += part
            reasons[place] = reason or ""
        choices = [
            self._choice(place, text, reason)
            for place, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        ]
        return {**self._head, "choices": choices, "usage": self._usage()}

    async def events(self) -> AsyncIterator[str]:
        """Yields the answer in parts, as server-sent events."""
        is_begun = False
        try:
            async for place, part, reason in self._parts():
                if part or reason:
                    is_begun = True
                    yield self._event(choices=[self._choice(place, part, reason)])
            if self.asked.include_usage:
                yield self._event(choices=[], usage=self._usage())
        except RequestError as error:
            if not is_begun:
                raise
            yield f"data: {json.dumps({'error': openai_error(error.status, error.reason)})}\n\n"
        yield "data: [DONE]\n\n"

    async def _parts(self) -> AsyncIterator[tuple[int, str, str | None]]:
        """Yields (place of a text, its next part, why it has ended or None).

        Raises:
            RequestError: if the answer takes too long.
        """
        try:
            if self.asked.echo:
                for place in range(len(self._texts)):
                    yield place, self.asked.prompts[place // self.asked.n], None
            async for written in self._tokens():
                text = self._texts[written.place]
                part, reason = text.add(written.token), None
                self._num_written += 1
                if text.has_stopped:
                    self._written.cancel(written.place)
                    reason = "stop"
                elif written.is_last:
                    part += text.end()
                    reason = self._reason(written)
                yield written.place, part, reason
        finally:
            # Also when the client has gone.
            self._written.cancel()

    async def _tokens(self) -> AsyncIterator[WrittenToken]:
        tokens, end = aiter(self._written), time.monotonic() + self._limit
        while True:
            try:
                yield await asyncio.wait_for(anext(tokens), end - time.monotonic())
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                reason = f"not all is written within {self._limit:g} s: ask for fewer tokens"
                raise RequestError(503, reason) from error

    def _reason(self, written: WrittenToken) -> str:
        text = self._written.texts[written.place]
        return "length" if len(text.written) >= text.length else "stop"

    def _choice(self, place: int, text: str, reason: str | None) -> dict[str, Any]:
        return {"index": place, "text": text, "logprobs": None, "finish_reason": reason}

    def _usage(self) -> dict[str, int]:
        prompt, written = self._num_prompt_tokens, self._num_written
        return {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        }

    def _event(self, **fields: Any) -> str:
        return f"data: {json.dumps({**self._head, **fields})}\n\n"
