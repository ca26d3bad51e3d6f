"""The fields of OpenAI's requests for completions."""

import math
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from flax_transformer.errors import unknown
from flax_transformer.serving.limits import RequestError
from flax_transformer.serving.requests import texts_of

LARGEST_SEED = 2**63 - 1
LARGEST_TEMPERATURE = 2.0
MOST_STOPS = 16
# Fields that are read by others, or that may be left as they are by default.
_IGNORED = ("model", "user", "api_key")
_ONLY = {
    "best_of": (None, 1),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "logprobs": (None, 0, False),
    "presence_penalty": (None, 0),
    "suffix": (None, ""),
}


class CompletionRequest(NamedTuple):
    """What a request asks for.

    Attributes:
        prompts: texts to continue.
        max_tokens: largest number of tokens to write for each.
        temperature: 0 takes the most probable tokens.
        top_p: probability of the nucleus from which tokens are drawn.
        n: continuations of each prompt.
        stop: strings that end a continuation.
        seed: of sampling.
        stream: whether parts are sent as they are written.
        include_usage: whether the numbers of tokens are sent at the end of a stream.
        echo: whether the prompt is part of the answer.
    """

    prompts: list[str]
    max_tokens: int
    temperature: float
    top_p: float
    n: int
    stop: tuple[str, ...]
    seed: int
    stream: bool
    include_usage: bool
    echo: bool


def read_completion(fields: Mapping[str, Any]) -> CompletionRequest:
    """Reads the fields of a request.

    Raises:
        RequestError: if one has a wrong type or value, or is unknown.
    """
    own = {*CompletionRequest._fields} - {"prompts", "include_usage"}
    known = {*own, "prompt", "stream_options", "model"}
    for name in fields:
        if name not in (*known, *_IGNORED, *_ONLY):
            raise RequestError(422, str(unknown("field of a request", name, known)))
    for name, values in _ONLY.items():
        if fields.get(name) not in values:
            raise RequestError(422, f"{name} {fields[name]!r:.40} is not supported: leave it out")
    # None is what a client sends for a field that was not given.
    given = {name: value for name, value in fields.items() if value is not None}
    prompts = texts_of(given, "prompt")
    if not prompts:
        raise RequestError(422, "prompt is empty: give a text or a list of texts")
    seed = secrets.randbits(31)
    return CompletionRequest(
        prompts,
        max_tokens=int(_number(given, "max_tokens", 16, (1, math.inf), (int,))),
        temperature=float(_number(given, "temperature", 1.0, (0, LARGEST_TEMPERATURE))),
        top_p=float(_number(given, "top_p", 1.0, (0, 1))),
        n=int(_number(given, "n", 1, (1, math.inf), (int,))),
        stop=_stop(given),
        seed=int(_number(given, "seed", seed, (0, LARGEST_SEED), (int,))),
        stream=_flag(given, "stream"),
        include_usage=_flag(_options(given), "include_usage"),
        echo=_flag(given, "echo"),
    )


def _number(
    fields: Mapping[str, Any],
    name: str,
    default: int | float,
    limits: tuple[int, int | float],
    types: tuple[type, ...] = (int, float),
) -> int | float:
    value, (lowest, highest) = fields.get(name, default), limits
    # A bool is an int in Python; NaN is in no range.
    if type(value) not in types or not lowest <= value <= highest:
        kind = "a whole number" if types == (int,) else "a number"
        most = "" if highest == math.inf else f" and at most {highest}"
        raise RequestError(
            422, f"{name} {value!r:.40} does not fit: give {kind} of at least {lowest}{most}"
        )
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(422, f"{name} {value!r:.40} does not fit: give true or false")
    return value


def _stop(fields: Mapping[str, Any]) -> tuple[str, ...]:
    stop = texts_of(fields, "stop") if "stop" in fields else []
    if "" in stop or len(stop) > MOST_STOPS:
        raise RequestError(422, f"stop does not fit: give at most {MOST_STOPS} non-empty texts")
    return tuple(stop)


def _options(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    options = fields.get("stream_options", {})
    if not isinstance(options, dict):
        raise RequestError(422, f"stream_options {options!r:.40} does not fit: give an object")
    return options
