"""Files of SentencePiece models, written by hand."""

import struct
from collections.abc import Iterable

Field = int | float | bytes


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def message(fields: Iterable[tuple[int, Field]]) -> bytes:
    """A message of Protocol Buffers."""
    parts = []
    for number, value in fields:
        if isinstance(value, bytes):
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
        elif isinstance(value, float):
            parts.append(varint(number << 3 | 5) + struct.pack("<f", value))
        else:
            parts.append(varint(number << 3) + varint(value))
    return b"".join(parts)


# Kinds of pieces: 1 normal, 2 unknown, 3 control.
PIECES = [
    ("<unk>", 0.0, 2),
    ("<s>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("\u2581two", -1.0, 1),
    ("\u2581", -2.0, 1),
    ("t", -3.0, 1),
    ("w", -3.5, 1),
    ("o", -4.0, 1),
    ("-", -5.0, 1),
]


def model(
    pieces: Iterable[tuple[str, float, int]] = PIECES,
    trainer: Iterable[tuple[int, Field]] = (),
    normalizer: Iterable[tuple[int, Field]] = (),
) -> bytes:
    """The file of a model; without more, a Unigram model as sentencepiece makes it."""
    made = [message([(1, text.encode()), (2, score), (3, kind)]) for text, score, kind in pieces]
    return message(
        [*((1, piece) for piece in made), (2, message(trainer)), (3, message(normalizer))]
    )


def rules(replacements: dict[str, str]) -> bytes:
    """Compiled rules that replace ASCII letters: a trie of one or two levels by hand.

    The base of the root is 256, and that of letter c, or of a pair, is 512 + 256 times its number.
    """
    texts, units = b"", {0: 256 << 10}
    nodes = {"": 256}
    keys = sorted({key[:size] for key in replacements for size in range(1, len(key) + 1)})
    for number, key in enumerate(keys):
        base, place = 512 + 256 * number, nodes[key[:-1]] ^ ord(key[-1])
        nodes[key] = base
        units[place] = (base ^ place) << 10 | ord(key[-1])
        if key in replacements:
            units[place] |= 0x100
            units[base] = 0x80000000 | len(texts)
            texts += replacements[key].encode() + b"\0"
    table = [units.get(place, 0) for place in range(512 + 256 * len(keys))]
    trie = struct.pack(f"<{len(table)}I", *table)
    return struct.pack("<I", len(trie)) + trie + texts
