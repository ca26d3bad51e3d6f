"""`flax-transformer serve`."""

import dataclasses
import ipaddress
import socket
from pathlib import Path

from rich.console import Console
from tyro.conf import UseAppendAction

from flax_transformer.console import say
from flax_transformer.errors import UserError, check_number
from flax_transformer.serving.limits import LimitsConfig
from flax_transformer.training.assemble import Weights
from flax_transformer.training.quantized_weights import UseType


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serve:
    """Answer requests over HTTP with trained models.

    Translators have the interface of LibreTranslate, language models that of OpenAI. Requests that
    arrive together are computed together.
    """

    workdir: UseAppendAction[tuple[Path, ...]]
    """Folder of a training; may be given several times."""
    weights: Weights = "average"
    """Weights to use: the mean of the last checkpoints, the checkpoint with the best validation
    score, or the last one."""
    dtype: UseType | None = None
    """Type of the computation; by default that of the training."""
    host: str = "127.0.0.1"
    """Address to listen on. Any but a loopback address needs --api-key-file."""
    port: int = 8000
    """Port to listen on."""
    api_key_file: Path | None = None
    """File with the key that requests must have, as Authorization: Bearer KEY."""
    limits: LimitsConfig = LimitsConfig()

    def run(self) -> None:
        """Loads the models, compiles their programs, and answers until it is stopped."""
        try:
            from flax_transformer.serving import service
        except ModuleNotFoundError as error:
            raise UserError(
                f"{error.name} is not installed: run pip install 'flax_transformer[serve]'"
            ) from error
        if not self.workdir:
            raise UserError("--workdir is missing: give the folder of a training")
        check_number("--port", self.port, 1, 65_535)
        if not self.host:
            raise UserError("--host is empty: give an address, such as 127.0.0.1")
        key = self._key()
        with _listening(self.host, self.port) as listener:
            console = Console(stderr=True)
            models, routes = service.open_models(
                self.workdir, self.weights, self.dtype, self.limits
            )
            service.warm_up(models, console)
            names = ", ".join(f"{model.name} ({model.does})" for model in models)
            _listen(listener, self.host, self.port)
            say(console, f"serving {names} on http://{self.host}:{self.port}, until Ctrl-C")
            service.serve(models, routes, listener, self.limits, key)

    def _key(self) -> str | None:
        if self.api_key_file is not None:
            return _read_key(self.api_key_file)
        if not _is_loopback(self.host):
            raise UserError(
                f"--host {self.host} can be reached from other machines: give --api-key-file, or "
                "--host 127.0.0.1"
            )
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_key(path: Path) -> str:
    try:
        key = path.read_text("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"--api-key-file {path} is not UTF-8: write a key of text") from error
    if not key:
        raise UserError(f"--api-key-file {path} is empty: write a key into it")
    return key


def _listening(host: str, port: int) -> socket.socket:
    """Takes the port before models are loaded; requests are accepted only later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _taken(host, port, error) from error
    return listener


def _listen(listener: socket.socket, host: str, port: int) -> None:
    """Accepts requests; another process may have taken the port at the same moment."""
    try:
        listener.listen()
    except OSError as error:
        raise _taken(host, port, error) from error


def _taken(host: str, port: int, error: OSError) -> UserError:
    reason = error.strerror or error
    return UserError(f"--host {host} --port {port}: {reason}: give another port or host")
