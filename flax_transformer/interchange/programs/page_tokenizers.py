"""The tokenizers that the page of a model has: those that a training learns."""

import json
from typing import Any

from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.data.tokens.tokenizer import NUM_SPECIAL, Tokenizer
from flax_transformer.interchange.programs.model_programs import NotHeldError

# Kinds: (model, pre-tokenizer, decoder) of the library tokenizers -> the name in the page.
_KINDS = {
    ("BPE", "ByteLevel", "ByteLevel"): "bytes",
    ("WordLevel", "FixedLength", "Fuse"): "characters",
}
# Settings of the library that a learned tokenizer has.
_LEARNED = {
    "bytes": {"dropout": None, "ignore_merges": False, "add_prefix_space": False},
    "characters": {"length": 1},
}


def page_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """Describes a tokenizer as plain data for the page.

    Example:
        >>> page_tokenizer(Tokenizer.of_characters(["two"]))["pieces"]
        ['\ufffd', 'o', 't', 'w']

    Raises:
        NotHeldError: if it is not one that a training learns.
    """
    if isinstance(tokenizer, PublishedTokenizer):
        raise NotHeldError("the tokenizer of a published model")
    contents = json.loads(tokenizer.to_json())
    model = contents["model"]
    parts = [model, *(contents[name] or {} for name in ("pre_tokenizer", "decoder"))]
    kind = _KINDS.get(tuple(part.get("type") for part in parts))  # pyright: ignore
    settings = {name: value for part in parts[:2] for name, value in part.items()}
    is_learned = kind and all(settings[key] == value for key, value in _LEARNED[kind].items())
    if not is_learned or contents["normalizer"] or contents["added_tokens"]:
        raise NotHeldError("a tokenizer that was not learned in a training")
    assert kind is not None
    return {
        "kind": kind,
        "first": NUM_SPECIAL,
        "special": tokenizer.names(range(NUM_SPECIAL)),
        "bos": tokenizer.bos_id,
        "eos": tokenizer.eos_id,
        "pieces": sorted(model["vocab"], key=model["vocab"].get),
        "merges": [" ".join(merge) for merge in model.get("merges", [])],
    }
