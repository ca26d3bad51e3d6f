"""A route that says next to its handler what it reads and answers, for /openapi.json."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
FILE_TEXT: Schema = {"type": "string", "contentEncoding": "base64"}
MODEL = "model"
# Paths of OpenAI's interface.
OPENAI = "/v1/"


class Field(NamedTuple):
    """A field of a request.

    Attributes:
        name: of the field.
        schema: its JSON schema, with its default if it has one.
        does: one sentence.
        is_required: whether a request must have it.
        is_file: whether the body may be the file of this field instead of JSON.
    """

    name: str
    schema: Schema
    does: str
    is_required: bool = False
    is_file: bool = False


class Answer(NamedTuple):
    """What a route answers.

    Attributes:
        schema: its JSON schema.
        kind: its media type.
    """

    schema: Schema
    kind: str = "application/json"


class Described(Route):
    """A route with its description.

    Args:
        path: of the route.
        endpoint: its handler.
        does: one sentence.
        method: GET, whose fields are parameters of the address, or POST, whose fields are JSON.
        fields: of a request.
        example: values of fields, with which the served models answer.
        answer: None: the route only refuses.

    Attributes:
        does: see the argument; the same holds for the next four.
        method: of HTTP.
        fields: of a request.
        example: of a request.
        answer: with the status 200.

    Example:
        >>> async def add(request: Request) -> Response: ...
        >>> numbers = Field("numbers", list_of(NUMBER), "To add.", is_required=True)
        >>> route = Described("/add", add, does="Adds.", method="POST", fields=[numbers])
        >>> route.path, route.fields[0].schema
        ('/add', {'type': 'array', 'items': {'type': 'number'}})
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        *,
        does: str,
        method: str = "GET",
        fields: Sequence[Field] = (),
        example: Mapping[str, Any] | None = None,
        answer: Answer | None = None,
    ):
        super().__init__(path, endpoint, methods=[method])
        self.does, self.method, self.fields = does, method, fields
        self.example, self.answer = example, answer


def list_of(items: Schema, **more: Any) -> Schema:
    """The schema of a list."""
    return {"type": "array", "items": items, **more}


def one_or_more(items: Schema) -> Schema:
    """The schema of a value or a list of such values."""
    return {"oneOf": [items, list_of(items)]}


def record_of(**values: Schema) -> Schema:
    """The schema of an object that has these fields."""
    return {"type": "object", "properties": values, "required": [*values]}


def table_of(values: Schema) -> Schema:
    """The schema of an object whose fields have any names."""
    return {"type": "object", "additionalProperties": values}


def model_field(names: Sequence[str]) -> Field:
    """The field that names one of several models, which a request may leave out if there is one."""
    schema = {"type": "string", "enum": [*names]}
    return Field(MODEL, schema, "Name of the model.", is_required=len(names) > 1)
