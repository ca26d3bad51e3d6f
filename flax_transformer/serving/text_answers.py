"""Classes, filled gaps, tags and vectors of texts, by one plain interface and by OpenAI's."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.serving.batched_texts import BatchedTexts
from flax_transformer.serving.described_route import (
    FILE_TEXT,
    INTEGER,
    MODEL,
    NUMBER,
    OPENAI,
    TEXT,
    Answer,
    Described,
    Field,
    Schema,
    list_of,
    model_field,
    one_or_more,
    record_of,
    table_of,
)
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.picture_answers import ServedPictures
from flax_transformer.serving.requests import read_request, texts_of
from flax_transformer.serving.served_model import named
from flax_transformer.tasks.masked_language_modeling.mask_filler import MASK_TEXT
from flax_transformer.training.assemble import TrainedRun

EMBED, TEXTS = "embed", "texts"


def _embed(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return list(predictor.embed(texts))


def _classify(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return [_fields(one) for one in predictor.classify_each(texts)]


def _fill(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return [_fields(one) for one in predictor.fill(texts)]


def _tag(predictor: Any, texts: list[str]) -> Sequence[Any]:
    return [[_fields(word) for word in words] for words in predictor.tag(texts)]


class _Work(NamedTuple):
    """What a model does with texts: its function, a sentence, and the form of its answer."""

    answer: Callable[[Any, list[str]], Sequence[Any]]
    does: str
    schema: Schema


_CLASSES = record_of(label=TEXT, probabilities=table_of(NUMBER))
# By the command of a task.
_WORKS: Mapping[str, _Work] = {
    "classify": _Work(_classify, "Gives the classes, the most probable first.", _CLASSES),
    EMBED: _Work(_embed, "Gives vectors.", list_of(NUMBER)),
    "fill": _Work(
        _fill,
        "Fills the gaps of texts.",
        record_of(text=TEXT, gaps=list_of(table_of(NUMBER))),
    ),
    "tag": _Work(
        _tag,
        "Tags the words of texts.",
        list_of(record_of(word=TEXT, tag=TEXT, probability=NUMBER)),
    ),
}


class ServedEncoder(BatchedTexts):
    """A model that reads texts as a whole.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.
        does: what it does: the command that uses it.
        tokenizer: of its texts.
        max_length: tokens that it reads.

    Attributes:
        reads: the field of requests with its texts.
    """

    reads = TEXTS

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
        if does == "fill":
            self.example_text = f"a {MASK_TEXT}"
        super().__init__(name, predictor, limits)

    def answer(self, inputs: list[str], options: Any) -> Sequence[Any]:
        """Does what the options say, or what the model was trained for."""
        return _WORKS[options or self.does].answer(self.predictor, inputs)

    def can_read(self, fields: Mapping[str, Any]) -> bool:
        """Returns whether a request has texts."""
        return self.reads in fields

    async def inputs_of(self, fields: Mapping[str, Any]) -> list[str]:
        """Returns the texts of a request.

        Raises:
            RequestError: if they are missing, or together larger than a request of texts.
        """
        texts, most = texts_of(fields, self.reads), self.limits.body_bytes
        if sum(map(len, texts)) > most:
            raise RequestError(
                413, f"the texts have more than {most:,} characters: send several requests"
            )
        return texts

    def num_tokens(self, text: str) -> int:
        """Counts the tokens of a text, with its marks."""
        if self.does == "fill":
            return self.predictor.num_tokens(text)
        return len(self._tokenizer.encode_marked([text], begin=True)[0])


AnyEncoder: TypeAlias = ServedEncoder | ServedPictures


def open_encoder(name: str, run: TrainedRun, limits: LimitsConfig) -> AnyEncoder:
    """Makes the served model of a trained encoder of texts, images or videos."""
    task: Any = run.task
    predictor = task.predictor(run.variables)
    if task.tokenizer is None:
        return ServedPictures(name, predictor, limits)
    return ServedEncoder(
        name,
        predictor,
        limits,
        does=task.command,
        tokenizer=task.tokenizer,
        max_length=task.experiment.data.max_length,
    )


def encoder_routes(models: Sequence[AnyEncoder]) -> list[Described]:
    """Makes a route for what each model does, such as /classify, and /v1/embeddings.

    A request has the field "texts", "images" or "videos", and "model" if several do the same; the
    answer has "answers".
    """
    commands = dict.fromkeys(model.does for model in models if model.does != EMBED)
    routes = [_route([model for model in models if model.does == does]) for does in commands]
    embedding = [
        model
        for model in models
        if isinstance(model, ServedEncoder) and hasattr(model.predictor, EMBED)
    ]
    return [*routes, _embeddings(embedding)] if embedding else routes


def _route(models: Sequence[AnyEncoder]) -> Described:
    """The route of models that do the same."""
    units = list(dict.fromkeys(model.reads for model in models))
    takes_files = any(isinstance(model, ServedPictures) for model in models)

    async def answer(request: Request) -> Response:
        fields = await read_request(request, takes_files=takes_files)
        # The fields of a request tell texts from images; otherwise it names its model.
        fitting = [model for model in models if model.can_read(fields)]
        model = named(models if MODEL in fields else fitting or models, fields)
        return JSONResponse({"answers": await model.ask(await model.inputs_of(fields))})

    work = _WORKS[models[0].does]
    first, named_by = models[0], model_field([model.name for model in models])
    example = first.example_file() if isinstance(first, ServedPictures) else first.example_text
    return Described(
        f"/{first.does}",
        answer,
        method="POST",
        does=work.does,
        fields=[
            *(_input_field(unit, len(units) == 1) for unit in units),
            named_by._replace(is_required=len(models) > len(units)),
        ],
        example={first.reads: example, MODEL: first.name},
        answer=Answer(record_of(answers=list_of(work.schema))),
    )


def _input_field(unit: str, is_only: bool) -> Field:
    if unit == TEXTS:
        return Field(TEXTS, one_or_more(TEXT), "Text or texts.", is_only)
    return Field(
        unit, one_or_more(FILE_TEXT), f"File or files of {unit}, in base64.", is_only, is_file=True
    )


def _embeddings(models: Sequence[ServedEncoder]) -> Described:
    """The route of vectors.

    Reference:
        OpenAI's API, https://platform.openai.com/docs/api-reference/embeddings.
    """

    async def embeddings(request: Request) -> Response:
        fields = await read_request(request)
        model, texts = named(models, fields), texts_of(fields, "input")
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

    form = {"enum": [*_FORMS], "default": "float"}
    vector: Schema = {"oneOf": [list_of(NUMBER), TEXT]}
    return Described(
        f"{OPENAI}embeddings",
        embeddings,
        method="POST",
        does="Gives vectors of texts.",
        fields=[
            Field("input", one_or_more(TEXT), "Text or texts.", is_required=True),
            model_field([model.name for model in models]),
            Field("encoding_format", form, "Numbers, or float32 in base64."),
        ],
        example={"input": "a text", MODEL: models[0].name},
        answer=Answer(
            record_of(
                object=TEXT,
                data=list_of(record_of(object=TEXT, index=INTEGER, embedding=vector)),
                model=TEXT,
                usage=record_of(prompt_tokens=INTEGER, total_tokens=INTEGER),
            )
        ),
    )


def _fields(answer: Any) -> Any:
    return answer if isinstance(answer, UserError) else answer._asdict()


def _base64(vector: np.ndarray) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


_FORMS: Mapping[str, Callable[[np.ndarray], Any]] = {"float": np.ndarray.tolist, "base64": _base64}
