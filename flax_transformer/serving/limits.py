"""Limits of what a service takes, and the error beyond them."""

import dataclasses
from typing import Any

from flax_transformer.errors import UserError, check_number


@dataclasses.dataclass(frozen=True)
class LimitsConfig:
    """What a request may ask for, and how much may wait."""

    body_bytes: int = 200_000
    """Largest body of a request, in bytes, and largest size of its texts."""
    file_bytes: int = 10_000_000
    """The same for a request with images or videos: enough for a photo of a phone (about 5 MB), a
    third larger in base64."""
    pixels: int = 64_000_000
    """Largest number of pixels in the images of a request, or in all frames of its videos. A small
    file can hold very many."""
    texts: int = 64
    """Largest number of texts, images or videos in a request."""
    waiting: int = 2048
    """Largest number of them that wait; a request for more gets the status 429."""
    streams: int = 32
    """Largest number of texts that a language model writes at the same time; its memory grows with
    it."""
    seconds: float = 60.0
    """Longest time to answer a request (status 503)."""

    def __post_init__(self) -> None:
        """Rejects limits that no request can keep."""
        check_number("--limits.body-bytes", self.body_bytes)
        check_number("--limits.file-bytes", self.file_bytes)
        check_number("--limits.pixels", self.pixels)
        check_number("--limits.texts", self.texts)
        check_number("--limits.waiting", self.waiting)
        check_number("--limits.streams", self.streams)
        if not 0 < self.seconds <= 86_400:
            raise UserError(
                f"--limits.seconds must be positive and at most 86,400, not {self.seconds}"
            )


def openai_error(status: int, reason: str) -> dict[str, Any]:
    """The form of an error of OpenAI, whose clients show the message.

    Example:
        >>> openai_error(422, "prompt is empty")["type"]
        'invalid_request_error'
    """
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"message": reason, "type": kind, "param": None, "code": None}


class RequestError(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        reason: one line, which says what to do.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason
