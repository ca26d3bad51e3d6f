"""The routes that say how a service is, and which models it has."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from flax_transformer.serving.described_route import (
    INTEGER,
    OPENAI,
    TEXT,
    TRUTH,
    Answer,
    Described,
    Schema,
    list_of,
    record_of,
)
from flax_transformer.serving.requests import check_key
from flax_transformer.serving.served_model import ServedModel
from flax_transformer.serving.service_metrics import ServiceMetrics


def status_routes(models: Sequence[ServedModel], metrics: ServiceMetrics) -> list[Described]:
    """Makes the routes /health, /ready, /metrics and /v1/models."""
    created = int(time.time())

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        is_ready = request.app.state.is_ready
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def show_metrics(request: Request) -> Response:
        check_key(request)
        return PlainTextResponse(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    kind = {"object": "model", "created": created, "owned_by": "flax_transformer"}
    listed = {model.name: {"id": model.name, **kind} for model in models}

    async def list_models(request: Request) -> Response:
        check_key(request)
        return JSONResponse({"object": "list", "data": [*listed.values()]})

    model = record_of(id=TEXT, object=TEXT, created=INTEGER, owned_by=TEXT)
    return [
        Described(
            "/health",
            health,
            does="Says that the process lives.",
            example={},
            answer=Answer(record_of(status=TEXT)),
        ),
        Described(
            "/ready",
            ready,
            does="Says whether models take requests; the status is 503 if not.",
            example={},
            answer=Answer(record_of(ready=TRUTH)),
        ),
        Described(
            "/metrics",
            show_metrics,
            does="Counts requests, for Prometheus.",
            example={},
            answer=Answer(TEXT, "text/plain"),
        ),
        Described(
            f"{OPENAI}models",
            list_models,
            does="Lists the models.",
            example={},
            answer=Answer(record_of(object=TEXT, data=list_of(model))),
        ),
        *(_one_model(described, model) for described in listed.values()),
    ]


def _one_model(described: Mapping[str, Any], schema: Schema) -> Described:
    async def one_model(request: Request) -> Response:
        check_key(request)
        return JSONResponse(described)

    path = f"{OPENAI}models/{described['id']}"
    return Described(path, one_model, does="Describes a model.", example={}, answer=Answer(schema))
