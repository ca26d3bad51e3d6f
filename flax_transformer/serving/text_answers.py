"""Classes, filled gaps, tags and vectors of texts, by one plain interface and by OpenAI's."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.serving.batched_model import BatchedModel
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.requests import read_request, texts_of
from flax_transformer.serving.served_model import named
from flax_transformer.training.assemble import TrainedRun

Answer = Callable[[Any, list[str]], Sequence[Any]]
EMBED = "embed"


def _embed(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return list(predictor.embed(texts))


def _classify(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return [_fields(one) for one in predictor.classify_each(texts)]


def _fill(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return [_fields(one) for one in predictor.fill(texts)]


def _tag(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return [[_fields(word) for word in words] for words in predictor.tag(texts)]


# Command of a task -> the answers to some texts.
_ANSWERS: Mapping[str, Answer] = {
    "classify": _classify,
    EMBED: _embed,
    "fill": _fill,
    "tag": _tag,
}


class ServedEncoder(BatchedModel):
    """A model that reads texts as a whole.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.
        does: what it does: the command that uses it.
        tokenizer: of its texts.
        max_length: tokens that it reads.
    """

    def __init__(
        self,
        name: str,
        predictor: Any,
        limits: LimitsConfig,
        *,
        does: str,
        tokenizer: Tokenizer,
        max_length: int,
    ):
        self.does, self.max_length, self._tokenizer = does, max_length, tokenizer
        if does != EMBED:
            self.all_options = (None, EMBED)
        super().__init__(name, predictor, limits)

    def answer(self, texts: list[str], options: Any) -> Sequence[Any]:
        """Does what the options say, or what the model was trained for."""
        return _ANSWERS[options or self.does](self.predictor, texts)

    def num_tokens(self, text: str) -> int:
        """Counts the tokens of a text, with its marks."""
        return len(self._tokenizer.encode_marked([text], begin=True)[0])


def open_encoder(name: str, run: TrainedRun, limits: LimitsConfig) -> ServedEncoder:
    """Makes the served model of a trained encoder of texts.

    Raises:
        UserError: if it reads images or videos.
    """
    task: Any = run.task
    if task.tokenizer is None:
        raise UserError(f"{name} reads images or videos, which are not served: give another model")
    return ServedEncoder(
        name,
        task.predictor(run.variables),
        limits,
        does=task.command,
        tokenizer=task.tokenizer,
        max_length=task.experiment.data.max_length,
    )


def encoder_routes(models: Sequence[ServedEncoder]) -> list[Route]:
    """Makes a route for what each model does, such as /classify, and /v1/embeddings.

    A request has the field "texts", and "model" if several do the same; the answer has "answers".

    Reference:
        OpenAI's API, https://platform.openai.com/docs/api-reference/embeddings.
    """

    def route(does: str) -> Route:
        own = [model for model in models if model.does == does]

        async def answer(request: Request) -> Response:
            fields = await read_request(request)
            model = named(own, fields)
            return JSONResponse({"answers": await model.ask(texts_of(fields, "texts"))})

        return Route(f"/{does}", answer, methods=["POST"])

    async def embeddings(request: Request) -> Response:
        fields = await read_request(request)
        model, texts = named(embedding, fields), texts_of(fields, "input")
        vectors = await model.ask(texts, EMBED)
        form = _FORMS.get(str(fields.get("encoding_format") or "float"))
        if form is None:
            raise RequestError(422, "encoding_format must be float or base64")
        data = [
            {"object": "embedding", "index": index, "embedding": form(vector)}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(model.num_tokens, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": model.name, "usage": usage}
        return JSONResponse(answer)

    embedding = [model for model in models if hasattr(model.predictor, EMBED)]
    plain = dict.fromkeys(model.does for model in models if model.does != EMBED)
    routes = [route(does) for does in plain]
    if embedding:
        routes.append(Route("/v1/embeddings", embeddings, methods=["POST"]))
    return routes


def _fields(answer: Any) -> Any:
    return answer if isinstance(answer, UserError) else answer._asdict()


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


_FORMS: Mapping[str, Callable[[np.ndarray], Any]] = {"float": np.ndarray.tolist, "base64": _base64}
