"""Trained models, loaded, and served until the process is asked to end."""

import asyncio
import collections
import contextlib
import math
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import uvicorn
from rich.console import Console
from rich.progress import Progress
from starlette.routing import Route

from flax_transformer.errors import UserError, first_line
from flax_transformer.serving.application import make_application
from flax_transformer.serving.completions import completion_routes
from flax_transformer.serving.language_model import open_language_model
from flax_transformer.serving.libre_translate import open_translator, translation_routes
from flax_transformer.serving.limits import LimitsConfig
from flax_transformer.serving.requests import SECONDS_TO_SEND
from flax_transformer.serving.served_model import ServedModel
from flax_transformer.serving.text_answers import encoder_routes, open_encoder
from flax_transformer.training.assemble import Weights, open_run
from flax_transformer.training.quantized_weights import UseType

# What a task does -> how its model is served, and the routes of such models.
_ENCODERS = (open_encoder, encoder_routes)
_KINDS: Mapping[str, tuple[Callable[..., ServedModel], Callable[[Any], Sequence[Route]]]] = {
    "generate": (open_language_model, completion_routes),
    "translate": (open_translator, translation_routes),
    **dict.fromkeys(("classify", "embed", "fill", "tag"), _ENCODERS),
}


def open_models(
    workdirs: Sequence[Path], weights: Weights, dtype: UseType | None, limits: LimitsConfig
) -> tuple[list[ServedModel], list[Route]]:
    """Loads models, and makes their routes.

    Raises:
        UserError: if a folder has no trained model, a model cannot be served, or two folders have
            the same name.
    """
    names = [path.resolve().name for path in workdirs]
    for name, count in collections.Counter(names).items():
        if count > 1:
            raise UserError(f"{count} workdirs are named {name}: rename one, as requests name them")
    models: list[ServedModel] = []
    by_routes: dict[Callable[[Any], Sequence[Route]], list[ServedModel]] = {}
    for name, path in zip(names, workdirs, strict=True):
        run = open_run(path, weights, dtype=dtype)
        if run.task.command not in _KINDS:
            raise UserError(
                f"{path} holds a model that can {run.task.command}, which is not served: give one "
                f"that can {' or '.join(_KINDS)}"
            )
        opened, routes = _KINDS[run.task.command]
        models.append(opened(name, run, limits))
        by_routes.setdefault(routes, []).append(models[-1])
    return models, [route for routes, own in by_routes.items() for route in routes(own)]


def warm_up(models: Sequence[ServedModel], console: Console) -> None:
    """Compiles all programs, and shows how many are done.

    Raises:
        UserError: if the memory is too small for one.
    """
    total = sum(model.num_programs for model in models)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("compiling programs", total=total)
        for model in models:
            try:
                model.warm_up(lambda: progress.advance(bar))
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                raise UserError(
                    f"{model.name} does not fit the memory of the device ({first_line(error)}): "
                    "serve fewer models, or lower --limits.streams"
                ) from error


def serve(
    models: Sequence[ServedModel],
    routes: Sequence[Route],
    listener: socket.socket,
    limits: LimitsConfig,
    key: str | None,
) -> None:
    """Answers requests until SIGTERM or SIGINT; those that are being answered are finished."""
    config = uvicorn.Config(
        make_application(models, routes, limits, key),
        access_log=False,
        log_level="warning",
        # All requests have ended before: each has its own limits.
        timeout_graceful_shutdown=math.ceil(SECONDS_TO_SEND + limits.seconds),
        timeout_keep_alive=5,
        server_header=False,
    )
    asyncio.run(_Server(config).serve([listener]))


class _Server(uvicorn.Server):
    """A server after whose end the process goes on; uvicorn's raises the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends the service, not the process, when a signal comes."""
        before = {
            number: signal.signal(number, self.handle_exit)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
