"""Beam search by CTranslate2, with the weights written by `convert_marian`."""

import importlib
from collections.abc import Mapping
from typing import Any

from .decode_work import DecodeWork, Search, as_run
from .turn import Run, take_turn

# It may not be installed, so type checkers may not find it.
ctranslate2: Any = importlib.import_module("ctranslate2")


def make(work: Mapping[str, Any], folder: str) -> Run:
    """Makes the search from plain data and a folder with the converted model."""
    return as_run(ctranslate2_search(DecodeWork(**work), folder))


def words(work: DecodeWork) -> list[str]:
    """A word for each id; the last one is the padding."""
    return [*(f"token{number}" for number in range(work.vocab_size - 1)), "<pad>"]


def ctranslate2_search(work: DecodeWork, folder: str) -> Search:
    """Makes the search of `translate_batch`.

    On a CPU its only type smaller than float32 is int8, which replaces bfloat16.
    """
    word_of = words(work)
    number_of = {word: number for number, word in enumerate(word_of)}
    compute_type = "float32" if work.dtype == "float32" else "int8"
    translator = ctranslate2.Translator(folder, compute_type=compute_type)
    sentences = [[word_of[token] for token in row] for row in work.sentences]

    def search():
        found = translator.translate_batch(
            sentences,
            max_batch_size=work.batch,
            beam_size=work.beam_size,
            min_decoding_length=work.output_length,
            max_decoding_length=work.output_length,
        )
        return [[[number_of[word] for word in result.hypotheses[0]] for result in found]]

    return search


if __name__ == "__main__":
    take_turn(make)
