"""The service as an ASGI application: routes, keys, metrics and a line of log for each request."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flax_transformer.serving.attention_answers import attention_routes
from flax_transformer.serving.described_route import OPENAI
from flax_transformer.serving.limits import LimitsConfig, RequestError, openai_error
from flax_transformer.serving.openapi import openapi_route
from flax_transformer.serving.served_model import ServedModel
from flax_transformer.serving.service_metrics import ServiceMetrics
from flax_transformer.serving.start_page import start_route
from flax_transformer.serving.status_routes import status_routes


def make_application(
    models: Sequence[ServedModel],
    routes: Sequence[BaseRoute],
    limits: LimitsConfig,
    key: str | None = None,
) -> Starlette:
    """Makes the application that serves models.

    Besides the routes of the models it has those of `status_routes`, /openapi.json, the start page
    and the pages of attention.

    Args:
        models: which are ready to answer; they are closed when the application ends.
        routes: of the models.
        limits: of requests.
        key: that requests must have; None: none.
    """
    metrics = ServiceMetrics(models)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.is_ready = True
        yield
        app.state.is_ready = False
        for model in models:
            model.close()

    own = [*status_routes(models, metrics), openapi_route(), start_route(models)]
    app = Starlette(
        routes=[*own, *attention_routes(models), *routes],
        lifespan=lifespan,
        exception_handlers={
            RequestError: _refuse,
            HTTPException: _refuse_http,
            Exception: _report_failure,
        },
    )
    app.router.redirect_slashes = False
    app.state.limits, app.state.key = limits, key
    known = {route.path for route in app.routes if isinstance(route, Route)}
    app.add_middleware(_Observed, metrics=metrics, known=known)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {"Retry-After": "1"} if error.status in (429, 503) else None
    # A body that was not read to its end makes the connection useless.
    if error.status in (408, 413):
        headers = {"Connection": "close"}
    return _error(request, error.status, error.reason, headers)


def _error(
    request: Request, status: int, reason: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Answers with a reason; under its paths in the form of OpenAI."""
    is_openai = request.url.path.startswith(OPENAI)
    error = openai_error(status, reason) if is_openai else reason
    return JSONResponse({"error": error}, status, headers)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    paths = sorted({route.path for route in request.app.routes if isinstance(route, Route)})
    reason = {
        404: f"{request.url.path:.60} is not here: there are {', '.join(paths)}",
        405: f"{request.url.path:.60} does not take {request.method}: use another method",
    }.get(error.status_code, error.detail)
    return _error(request, error.status_code, reason, error.headers)


async def _report_failure(request: Request, error: Exception) -> Response:
    return _error(request, 500, "the request failed; the log of the service says why")


class _Observed:
    """Counts requests, and logs each in one line without its texts."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, known: set[str]):
        self._app, self._metrics, self._known = app, metrics, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            # Unknown paths would be an unlimited number of series.
            path = scope["path"] if scope["path"] in self._known else "other"
            seconds = time.perf_counter() - started
            self._metrics.count(path, status, seconds)
            if path not in ("/health", "/ready", "/metrics"):
                print(f"{scope['method']} {path} {status} {1000 * seconds:.0f} ms", flush=True)
