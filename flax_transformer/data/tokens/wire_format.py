"""Wire format of Protocol Buffers: the fields of a message, without its schema."""

import struct
from collections.abc import Iterator

MAX_VARINT_BITS = 64
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5


class WireFormatError(ValueError):
    """Bytes that are not a message."""


def message_fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    r"""Yields the number and the value of each field of a message, in their order.

    A whole number is an int without sign, a four-byte value a float, and a text or an inner
    message is bytes.

    Args:
        data: the message.

    Raises:
        WireFormatError: if the bytes are not a message.

    Example:
        >>> list(message_fields(b"\x08\x96\x01\x12\x03two"))
        [(1, 150), (2, b'two')]

    Reference: https://protobuf.dev/programming-guides/encoding/
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == SIZED:
            size, at = _varint(data, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise WireFormatError(f"unknown wire type {kind} at byte {at:,}")
        if at + size > len(data):
            raise WireFormatError(f"cut at byte {len(data):,}")
        part, at = data[at : at + size], at + size
        yield number, struct.unpack("<f", part)[0] if kind == FOUR_BYTES else part


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Reads seven bits a byte, the lowest first; returns the number and where it ends."""
    value = 0
    for shift in range(0, MAX_VARINT_BITS, 7):
        if at >= len(data):
            raise WireFormatError(f"cut at byte {at:,}")
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise WireFormatError(f"a number of more than {MAX_VARINT_BITS} bits at byte {at:,}")
