"""Translation by the interface of LibreTranslate."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import UserError
from flax_transformer.serving.batched_texts import BatchedTexts
from flax_transformer.serving.described_route import (
    TEXT,
    Answer,
    Described,
    Field,
    list_of,
    one_or_more,
    record_of,
)
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.requests import check_key, read_request, texts_of
from flax_transformer.tasks.translation.translator import Translator
from flax_transformer.training.assemble import TrainedRun

AUTO = "auto"


class ServedTranslator(BatchedTexts):
    """A translator between two languages.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.
        source: code of the source language.
        target: code of the target language.
    """

    does = "translate"
    predictor: Translator

    def __init__(
        self, name: str, predictor: Translator, limits: LimitsConfig, source: str, target: str
    ):
        self.source, self.target = source, target
        self.max_length = predictor.max_length
        super().__init__(name, predictor, limits)

    def described(self) -> dict[str, Any]:
        """Returns what the start page knows of the model."""
        return {**super().described(), "source": self.source, "target": self.target}

    async def attention_options(self, text: str) -> Mapping[str, Any]:
        """Translates the text in a batch, whose programs are compiled; see `Translator.attend`."""
        (translation,) = await self.ask([text])
        return {"target": translation} if translation.strip() else {}

    def answer(self, inputs: list[str], options: Any) -> Sequence[str]:
        """Translates texts, without options."""
        return self.predictor.translate(inputs)

    def num_tokens(self, text: str) -> int:
        """Counts the tokens of a source, with its marks."""
        return int(TokenizedText.encode(self.predictor.tokenizer, [text]).lengths[0])


def open_translator(name: str, run: TrainedRun, limits: LimitsConfig) -> ServedTranslator:
    """Makes the served model of a trained translator."""
    data: Any = run.experiment.data
    predictor = run.task.predictor(run.variables)
    return ServedTranslator(name, predictor, limits, data.source_language, data.target_language)


def translation_routes(translators: Sequence[ServedTranslator]) -> list[Described]:
    """Makes the routes /translate, /languages and /detect.

    Raises:
        UserError: if two translate between the same languages.

    Reference:
        LibreTranslate's API, https://docs.libretranslate.com/.
    """
    _check_languages(translators)

    async def translate(request: Request) -> Response:
        fields = await read_request(request)
        texts = texts_of(fields, "q")
        if fields.get("format", "text") != "text":
            raise RequestError(422, "format must be text, as others are not read")
        found = await _chosen(translators, fields).ask(texts)
        answer: dict[str, Any] = {"translatedText": found}
        if not isinstance(fields["q"], list):
            answer["translatedText"] = found[0]
        return JSONResponse(answer)

    async def languages(request: Request) -> Response:
        check_key(request)
        codes = dict.fromkeys(one.source for one in translators)
        targets = {
            code: [one.target for one in translators if one.source == code] for code in codes
        }
        return JSONResponse(
            [{"code": code, "name": code, "targets": targets[code]} for code in codes]
        )

    async def detect(request: Request) -> Response:
        await read_request(request)
        raise RequestError(501, "languages are not detected: give source in /translate")

    first = translators[0]
    return [
        Described(
            "/translate",
            translate,
            method="POST",
            does="Translates texts.",
            fields=_fields(translators),
            example={"q": first.example_text, "source": first.source, "target": first.target},
            answer=Answer(record_of(translatedText=one_or_more(TEXT))),
        ),
        Described(
            "/languages",
            languages,
            does="Lists the languages.",
            example={},
            answer=Answer(list_of(record_of(code=TEXT, name=TEXT, targets=list_of(TEXT)))),
        ),
        Described("/detect", detect, method="POST", does="Refuses: languages are not detected."),
    ]


def _fields(translators: Sequence[ServedTranslator]) -> list[Field]:
    """The fields of a request for a translation."""
    sources = [AUTO, *dict.fromkeys(one.source for one in translators)]
    targets = list(dict.fromkeys(one.target for one in translators))
    return [
        Field("q", one_or_more(TEXT), "Text or texts.", is_required=True),
        Field("source", {"enum": sources, "default": AUTO}, "Language of the texts."),
        Field("target", {"enum": targets}, "Language to translate to.", len(targets) > 1),
        Field("format", {"enum": ["text"], "default": "text"}, "Form of the texts."),
    ]


def _check_languages(translators: Sequence[ServedTranslator]) -> None:
    by_languages: dict[tuple[str, str], str] = {}
    for one in translators:
        other = by_languages.setdefault((one.source, one.target), one.name)
        if other != one.name:
            raise UserError(
                f"{other} and {one.name} both translate {one.source} to {one.target}: give one of "
                "them, as requests name languages"
            )


def _chosen(translators: Sequence[ServedTranslator], fields: Mapping[str, Any]) -> ServedTranslator:
    """Finds the translator for the languages of a request; "auto" fits if only one does."""
    source, target = fields.get("source", AUTO), fields.get("target")
    found = [
        one for one in translators if source in (AUTO, one.source) and target in (None, one.target)
    ]
    if not found:
        pairs = ", ".join(f"{one.source} to {one.target}" for one in translators)
        raise RequestError(
            422, f"source {source!s:.20} and target {target!s:.20} do not fit: give one of {pairs}"
        )
    if source == AUTO and len({one.source for one in found}) > 1:
        raise RequestError(422, "languages are not detected: give source")
    if target is None and len({one.target for one in found}) > 1:
        raise RequestError(422, "target is missing: give one of the languages")
    return found[0]
