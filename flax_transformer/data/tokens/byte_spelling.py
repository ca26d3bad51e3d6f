"""Spelling of bytes as letters in a byte-level BPE."""

# Visible Latin-1 letters are themselves; the others are the letters from 256 on.
_VISIBLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = (byte for byte in range(256) if byte not in _VISIBLE)
_BYTES = {chr(byte): byte for byte in _VISIBLE} | {
    chr(256 + number): byte for number, byte in enumerate(_OTHERS)
}


def text_of_spelling(spelling: str) -> str:
    r"""Returns the text of spelled bytes; bytes of an incomplete character are shown as \xc3.

    A spelling with other letters is returned unchanged.

    Example:
        >>> text_of_spelling("\u0120two"), text_of_spelling("日")
        (' two', '日')
    """
    if not _BYTES.keys() >= set(spelling):
        return spelling
    return bytes(map(_BYTES.__getitem__, spelling)).decode("utf-8", "backslashreplace")
