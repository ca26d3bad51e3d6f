"""Converts the weights of the Marian model for CTranslate2, with CTranslate2's converter."""

import importlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch

from .decode_ctranslate2 import words
from .decode_marian import marian_model
from .decode_work import PAD, DecodeWork
from .turn import Run, take_turn


def make(work: Mapping[str, Any], folder: str) -> Run:
    """Makes the conversion from plain data."""
    decode_work = DecodeWork(**work)

    def convert() -> dict[str, Any]:
        loaders = importlib.import_module("ctranslate2.converters.transformers")
        vocabulary = words(decode_work)
        # The only methods that the converter needs from a tokenizer.
        tokenizer = SimpleNamespace(
            get_vocab=lambda: {word: number for number, word in enumerate(vocabulary)},
            eos_token=vocabulary[decode_work.eos],
            unk_token=vocabulary[PAD],
        )
        with torch.no_grad():
            converted = loaders.MarianMTLoader()(marian_model(decode_work), tokenizer)
        converted.validate()
        converted.optimize()
        converted.save(folder)
        return {}

    return convert


if __name__ == "__main__":
    take_turn(make)
