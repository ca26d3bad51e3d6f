"""Settings of tokenizers of the library tokenizers, as far as they matter for reading texts."""

import json

import tokenizers


def is_local(subwords: tokenizers.Tokenizer) -> bool:
    """Returns whether a text may be encoded in parts cut between a word and a line end."""
    settings = json.loads(subwords.to_str())
    words = settings["pre_tokenizer"] or {}
    is_of_words = words.get("type") == "ByteLevel" and words.get("use_regex", True)
    is_of_letters = words.get("type") == "FixedLength" and words["length"] == 1
    has_prefix = words.get("add_prefix_space", False)
    spans = any(not token["special"] for token in settings["added_tokens"])
    is_changed = settings["normalizer"] or has_prefix or spans
    return not is_changed and (is_of_words or is_of_letters)


def spells_bytes(subwords: tokenizers.Tokenizer) -> bool:
    """Returns whether the names of subwords are spelled bytes."""
    decoder = json.loads(subwords.to_str())["decoder"] or {}
    parts = decoder.get("decoders", [decoder])
    return any(part.get("type") == "ByteLevel" for part in parts)
