"""Byte-level BPE of GPT-2, RoBERTa and BART, in vocab.json and merges.txt."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from flax_transformer.data.files.limited_files import read_json_object, read_limited_text
from flax_transformer.data.tokens.published_tokenizer import reported
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.special_tokens import CONFIG, SpecialTokens
from flax_transformer.data.tokens.whole_text_marks import add_marks
from flax_transformer.errors import UserError

VOCAB, MERGES = "vocab.json", "merges.txt"
# Roles of the tokens before and after a text.
MARKS = {"gpt2": (None, None), "roberta": ("cls", "sep"), "bart": ("cls", "sep")}


def read_byte_level(folder: Path, tokens: SpecialTokens) -> tuple[tokenizers.Tokenizer, SpecialIds]:
    """Reads the tokenizer of a folder.

    Args:
        folder: with vocab.json and merges.txt.
        tokens: special tokens of the folder.

    Raises:
        UserError: if a file is damaged, or the family has another kind of tokenizer.
    """
    tokens.check_family(str(folder / MERGES), MARKS)
    vocab, merges = read_vocab(folder / VOCAB), _merges(folder / MERGES)
    with reported(str(folder / MERGES)):
        subwords = tokenizers.Tokenizer(models.BPE(vocab, merges))
    has_prefix = tokens.flag("add_prefix_space", False)
    subwords.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(has_prefix))
    subwords.decoder = decoders.ByteLevel()
    special = tokens.add_to(subwords, str(folder / CONFIG))
    begin, end = MARKS[tokens.family]
    if tokens.family == "gpt2":
        begin = "bos" if tokens.flag("add_bos_token", False) else None
        end = "eos" if tokens.flag("add_eos_token", False) else None
    add_marks(subwords, tokens, begin, end)
    return subwords, special


def read_vocab(path: Path) -> dict[str, int]:
    """Reads the ids of pieces.

    Raises:
        UserError: if the file is damaged, an id is not a number, or two pieces have the same.
    """
    found = read_json_object(path)
    for piece, number in found.items():
        if type(number) is not int or not 0 <= number < 2**31:
            raise UserError(f"{path} gives {piece!r:.40} the id {number!r:.40}: restore the file")
    if len(set(found.values())) < len(found):
        raise UserError(f"{path} gives two pieces the same id: restore the file")
    return found


def _merges(path: Path) -> list[tuple[str, str]]:
    # Other separators than the line end may be letters of a piece.
    lines = read_limited_text(path).split("\n")
    merges = []
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or not all(pair):
            raise UserError(f"{path} line {number} is not two pieces: {line!r:.60}")
        merges.append((pair[0], pair[1]))
    return merges
