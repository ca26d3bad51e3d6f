"""What a request says, and whether it may."""

import asyncio
import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from flax_transformer.serving.limits import RequestError

Fields = dict[str, Any]
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SECONDS_TO_SEND = 10.0
# The field of a body that is itself an image.
FILE = "file"


async def read_request(request: Request, *, takes_files: bool = False) -> Fields:
    """Reads the fields of a request: JSON, a form, or the parameters of its address.

    Args:
        request: to read.
        takes_files: whether it may be as large as files are, and may itself be an image, which
            becomes the field "file", in bytes.

    Raises:
        RequestError: if the body is too large, arrives too slowly, or is neither; or if the
            service has a key that the request lacks.
    """
    limits = request.app.state.limits
    body = await _read_body(request, limits.file_bytes if takes_files else limits.body_bytes)
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    fields: Fields = dict(request.query_params)
    # What curl sends as JSON has the type of a form, unless a header is given.
    if kind == JSON or (kind == FORM and body.lstrip().startswith(b"{")):
        fields |= _parse_json(body) if body else {}
    elif kind == FORM:
        several = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        fields |= {name: own[0] if len(own) == 1 else own for name, own in several.items()}
    elif takes_files and kind.startswith("image/"):
        fields[FILE] = body
    else:
        or_file = " or an image" if takes_files else ""
        raise RequestError(415, f"content of the type {kind:.40} is not read: send JSON{or_file}")
    check_key(request, fields)
    return fields


def check_key(request: Request, fields: Mapping[str, Any] | None = None) -> None:
    """Rejects a request without the key of the service.

    The key is in the header "Authorization: Bearer KEY", or in the field "api_key" of the body or
    of the address.

    Raises:
        RequestError: with the status 401.
    """
    key: str | None = request.app.state.key
    if key is None:
        return
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [bearer.strip()] if scheme.lower() == "bearer" else []
    given.append(str((request.query_params if fields is None else fields).get("api_key", "")))
    # The time of the comparison does not show how much of a key is right.
    if not any(hmac.compare_digest(one.encode(), key.encode()) for one in given):
        raise RequestError(401, "the key is missing or wrong: send Authorization: Bearer KEY")


async def _read_body(request: Request, most: int) -> bytes:
    too_large = RequestError(413, f"the body has more than {most:,} bytes: send several requests")
    length = request.headers.get("content-length", "0")
    if not (length.isdecimal() and int(length) <= most):
        raise too_large
    chunks, size = [], 0
    seconds = min(SECONDS_TO_SEND, request.app.state.limits.seconds)
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError as error:
        raise RequestError(408, f"the request took more than {seconds:g} s") from error
    except ClientDisconnect as error:
        raise RequestError(400, "the request broke off") from error
    return b"".join(chunks)


def _parse_json(body: bytes) -> Fields:
    try:
        fields = json.loads(body.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON in UTF-8 ({error}): correct it") from error
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestError(422, "the body holds half a character: send Unicode") from error
    if not isinstance(fields, dict):
        raise RequestError(422, "the body is not an object of JSON: send one, in { and }")
    return fields


def texts_of(
    fields: Mapping[str, Any], name: str, wanted: str = "a text or a list of texts"
) -> list[str]:
    """Returns the text or texts of a field.

    Args:
        fields: of a request.
        name: of the field.
        wanted: what the field should hold, in words.

    Raises:
        RequestError: if it is missing or holds something else.
    """
    if name not in fields:
        raise RequestError(422, f"{name} is missing: give {wanted}")
    texts = fields[name] if isinstance(fields[name], list) else [fields[name]]
    for text in texts:
        if not isinstance(text, str):
            raise RequestError(422, f"{name} holds {text!r:.40}: give {wanted}")
    return texts


def files_of(fields: Mapping[str, Any], name: str) -> list[bytes]:
    """Returns the contents of the file or files of a field in base64, or of the body.

    Raises:
        RequestError: if it is missing or holds something else.
    """
    if name not in fields and FILE in fields:
        return [fields[FILE]]
    wanted = "a file in base64, a list of them, or the file itself as Content-Type: image/png"
    texts = texts_of(fields, name, wanted)
    try:
        return [base64.b64decode(text, validate=True) for text in texts]
    except ValueError as error:
        raise RequestError(422, f"{name} is not base64 ({error}): encode the file") from error
