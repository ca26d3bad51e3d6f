"""Compiled rules of SentencePiece that normalize a text: the longest known text is replaced."""

import itertools
import struct

LABEL = 0x800000FF  # the bits of a unit that hold its byte; the highest bit marks a value
HAS_VALUE = 0x100
MAX_KEY_BYTES = 256


class CharacterRules:
    """Replaces characters, and sequences of characters, of a text.

    The rules are a trie: the children of a unit lie at its base, changed by exclusive or with
    their byte, and the value of a text lies at the base itself.

    Args:
        compiled: precompiled_charsmap of a SentencePiece model: the size of the trie in bytes, the
            trie, and the replacements, each of which ends with a zero byte. Empty: no rules.

    Raises:
        ValueError: if the bytes are damaged.

    Example:
        >>> CharacterRules(b"").apply("two")
        'two'

    Reference: Kudo and Richardson 2018, "SentencePiece", section 3.5; the trie as in
        https://github.com/s-yata/darts-clone
    """

    def __init__(self, compiled: bytes):
        size = int.from_bytes(compiled[:4], "little")
        if compiled and (len(compiled) < 8 or size % 4 or not 4 <= size <= len(compiled) - 4):
            raise ValueError(f"rules of {size:,} bytes in {len(compiled):,}")
        self._units = struct.unpack(f"<{size // 4}I", compiled[4 : 4 + size])
        self._texts = compiled[4 + size :]
        letters = range(1, 128 if self._units else 1)
        ascii_pairs = map(bytes, itertools.product(letters, repeat=2))
        self._has_ascii_pair = any(self._find(pair, 0)[0] == 2 for pair in ascii_pairs)
        self._changed_letters = {chr(c) for c in range(128) if self._find(bytes([c]), 0)[0]}

    def apply(self, text: str) -> str:
        """Returns the normalized text.

        Raises:
            ValueError: if the rules are damaged.
        """
        is_plain = text.isascii() and self._changed_letters.isdisjoint(text)
        if not self._units or (is_plain and not self._has_ascii_pair):
            return text  # most lines
        data, parts, at, kept = text.encode(), [], 0, 0
        while at < len(data):
            length, value = self._find(data, at)
            if length:
                parts += [data[kept:at], self._replacement(value)]
                kept = at = at + length
            else:
                at += 1
                while at < len(data) and data[at] & 0xC0 == 0x80:  # the rest of the character
                    at += 1
        return b"".join([*parts, data[kept:]]).decode()

    def _find(self, data: bytes, at: int) -> tuple[int, int]:
        """The length of the longest known text at a place, 0 if there is none, and its value."""
        units, found, value = self._units, 0, 0
        if not units:
            return found, value
        base = _base(units[0], 0)
        for length, byte in enumerate(data[at : at + MAX_KEY_BYTES], 1):
            place = base ^ byte
            if place >= len(units) or units[place] & LABEL != byte:
                break
            base = _base(units[place], place)
            if units[place] & HAS_VALUE:
                if base >= len(units):
                    raise ValueError(f"the rules end before place {base:,}")
                found, value = length, units[base] & 0x7FFFFFFF
        return found, value

    def _replacement(self, value: int) -> bytes:
        end = self._texts.find(b"\0", value)
        if end < 0:
            raise ValueError(f"no replacement at byte {value:,}")
        return self._texts[value:end]


def _base(unit: int, place: int) -> int:
    return place ^ ((unit >> 10) << ((unit & 0x200) >> 6))
