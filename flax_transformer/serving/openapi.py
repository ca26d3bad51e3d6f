"""The OpenAPI document of a service, made of the descriptions of its routes."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flax_transformer.serving.described_route import (
    OPENAI,
    TEXT,
    Answer,
    Described,
    Schema,
    record_of,
)
from flax_transformer.serving.requests import FORM, JSON

_REASON: Schema = {"type": "string", "description": "What to do."}
_NOTHING: Schema = {"type": "null"}
_ERRORS: dict[str, Schema] = {
    "Error": record_of(error=_REASON),
    "OpenAIError": record_of(
        error=record_of(message=_REASON, type=TEXT, param=_NOTHING, code=_NOTHING)
    ),
}
_REFUSED = {
    "400": "The body cannot be read.",
    "408": "The body arrived too slowly.",
    "413": "It is larger than a limit.",
    "415": "The body has an unknown type.",
    "422": "A field is missing or wrong.",
    "429": "Too many inputs wait: try again later.",
    "503": "No answer in time, or the service ends.",
}
_NO_KEY = {"401": "The key is missing or wrong."}
_OTHERS = {"default": "It is not answered; the reason."}


def openapi_route() -> Described:
    """Makes the route /openapi.json, which describes all routes of its application."""

    async def openapi(request: Request) -> Response:
        state = request.app.state
        return JSONResponse(make_document(request.app.routes, needs_key=state.key is not None))

    return Described(
        "/openapi.json",
        openapi,
        does="Describes this service: this document.",
        example={},
        answer=Answer({"type": "object"}),
    )


def make_document(routes: Sequence[Any], *, needs_key: bool) -> dict[str, Any]:
    """Makes an OpenAPI document.

    Args:
        routes: of the service, each `Described`.
        needs_key: whether requests must have a key.

    Reference:
        OpenAPI Specification 3.1.1, https://spec.openapis.org/oas/v3.1.1.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, needs_key)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    components: dict[str, Any] = {"schemas": _ERRORS}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "flax-transformer serve",
            "version": importlib.metadata.version("flax_transformer"),
            "description": "Trained models.",
        },
        "paths": paths,
        "components": components,
    }
    if needs_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _operation(route: Described, needs_key: bool) -> dict[str, Any]:
    name = route.path.strip("/").replace("/", "_").replace(".", "_") or "page"
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{name}",
        "summary": route.does,
        "responses": _responses(route, needs_key),
    }
    if route.method == "GET":
        operation["parameters"] = [_parameter(route, *field[:4]) for field in route.fields]
    else:
        operation["requestBody"] = {"required": True, "content": _contents(route)}
    return operation


def _parameter(
    route: Described, name: str, schema: Schema, does: str, is_required: bool
) -> dict[str, Any]:
    found = {"name": name, "in": "query", "description": does, "schema": schema}
    if name in (route.example or {}):
        found["example"] = (route.example or {})[name]
    return found | {"required": is_required}


def _contents(route: Described) -> dict[str, Any]:
    """The media types of a body: fields as JSON or as a form, or a file itself."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            field.name: {**field.schema, "description": field.does} for field in route.fields
        },
        "required": [field.name for field in route.fields if field.is_required],
    }
    content = {"schema": schema, **({} if route.example is None else {"example": route.example})}
    is_file = any(field.is_file for field in route.fields)
    files: Mapping[str, Any] = {"image/*": {}} if is_file else {}
    return {JSON: content, FORM: {"schema": schema}, **files}


def _responses(route: Described, needs_key: bool) -> dict[str, Any]:
    refused = _REFUSED if route.method == "POST" or route.fields else {}
    if needs_key:
        refused = {**_NO_KEY, **refused}
    error = {"$ref": f"#/components/schemas/{'OpenAI' * route.path.startswith(OPENAI)}Error"}
    responses: dict[str, Any] = {
        status: {"description": text, "content": {JSON: {"schema": error}}}
        for status, text in {**refused, **_OTHERS}.items()
    }
    if route.answer is not None:
        content = {route.answer.kind: {"schema": route.answer.schema}}
        responses["200"] = {"description": "The answer.", "content": content}
    return dict(sorted(responses.items()))
