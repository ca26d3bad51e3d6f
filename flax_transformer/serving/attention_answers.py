"""The page of the attention viewer for a text, computed beside the batches of a model."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from flax_transformer.errors import UserError
from flax_transformer.inspection.attention_weights import compiled_attention_weights
from flax_transformer.serving.described_route import TEXT, Answer, Described, Field, model_field
from flax_transformer.serving.limits import RequestError
from flax_transformer.serving.requests import read_request, texts_of
from flax_transformer.serving.served_model import ServedModel, named
from flax_transformer.visualization.attention_view import view_readings
from flax_transformer.visualization.reading import Reading

# Tokens of a text: a page has a weight for each pair of them in each head of each layer.
MOST_TOKENS = 128
MOST_WAITING = 16
# Each length is a program; those of more pages than this are forgotten.
PAGES_OF_PROGRAMS = 32


class AttentionPages:
    """Makes pages of attention, one at a time, in a thread of its own.

    A new length of texts is compiled first, which must not delay the batches of others.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="attention")
        self._num_waiting = self._num_made = 0

    async def make(self, model: ServedModel, text: str) -> str:
        """Makes the page of a text.

        Raises:
            RequestError: if the text is blank or too long, too many wait, or it takes too long.
        """
        if self._num_waiting >= MOST_WAITING:
            raise RequestError(429, "too many pages of attention are waiting: try again later")
        self._num_waiting += 1
        try:
            async with asyncio.timeout(model.limits.seconds):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, _check_length, model, text)
                options = await model.attention_options(text)
                return await loop.run_in_executor(self._thread, self._make, model, text, options)
        except TimeoutError as error:
            raise model.late() from error
        except UserError as error:
            raise RequestError(422, str(error)) from error
        finally:
            self._num_waiting -= 1

    def _make(self, model: ServedModel, text: str, options: Mapping[str, Any]) -> str:
        reading = Reading(**model.predictor.attend(text, **options), name=model.name)
        self._num_made += 1
        if self._num_made % PAGES_OF_PROGRAMS == 0:
            cast(Any, compiled_attention_weights).clear_cache()
        return view_readings([reading], title=reading.title).page


def attention_routes(models: Sequence[ServedModel]) -> list[Described]:
    """Makes the routes of /attention: parameters of the address, or a form that hides a text."""
    shown = [model for model in models if model.shows_attention]
    if not shown:
        return []
    pages = AttentionPages()

    async def attention(request: Request) -> Response:
        fields = await read_request(request)
        model, texts = named(shown, fields), texts_of(fields, "text", "a text")
        if len(texts) != 1:
            raise RequestError(422, f"text holds {len(texts)} texts: give one")
        return HTMLResponse(await pages.make(model, texts[0]))

    first = shown[0]
    return [
        Described(
            "/attention",
            attention,
            method=method,
            does="Shows where a model attends while it reads a text.",
            fields=[
                model_field([model.name for model in shown]),
                Field("text", TEXT, "Text to read.", is_required=True),
            ],
            example={"model": first.name, "text": first.example_text},
            answer=Answer(TEXT, "text/html"),
        )
        for method in ("GET", "POST")
    ]


def _check_length(model: ServedModel, text: str) -> None:
    # A classifier of texts keeps its tokenizer in its task.
    holder = model.predictor if hasattr(model.predictor, "tokenizer") else model.predictor.task
    tokens, most = len(holder.tokenizer.encode(text)), min(MOST_TOKENS, model.max_length)
    if tokens > most:
        raise RequestError(
            413, f"the text has {tokens} tokens, but attention is shown for {most}: cut it"
        )
