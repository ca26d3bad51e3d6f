"""Tokenizers in the metadata of GGUF files."""

from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from flax_transformer.data.files.gguf_file import GgufFile, read_gguf
from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer, reported
from flax_transformer.data.tokens.sentencepiece_model import Piece, PieceKind, SentencePieceModel
from flax_transformer.data.tokens.sentencepiece_subwords import make_subwords
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.special_tokens import SpecialTokens
from flax_transformer.data.tokens.whole_text_marks import add_marks
from flax_transformer.errors import UserError

PREFIX = "tokenizer.ggml."
CHAT_TEMPLATE = "tokenizer.chat_template"
ROLES = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
# Llama 3: contractions, words, up to three digits, signs, line ends, spaces.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ADDED_KINDS = PieceKind.CONTROL, PieceKind.USER_DEFINED


def read_gguf_tokenizer(path: Path) -> PublishedTokenizer:
    """Reads the tokenizer of a GGUF file; all ids stay as they are.

    Args:
        path: of the file.

    Raises:
        UserError: if the file has none, or one of another kind.
    """
    file = read_gguf(path)
    kind, pieces = file.field(PREFIX + "model", str), _pieces(file)
    if kind not in ("gpt2", "llama"):
        raise UserError(f"{path} has a tokenizer of the kind {kind}: only gpt2 and llama are read")
    numbers = {role: file.field(f"{PREFIX}{name}_token_id", int) for role, name in ROLES.items()}
    ids = {role: number for role, number in numbers.items() if number is not None}
    if any(not 0 <= number < len(pieces) for number in ids.values()):
        raise UserError(
            f"{path} has special tokens beyond its {len(pieces):,} tokens: get it again"
        )
    is_bytes = kind == "gpt2"
    with reported(str(path)):
        subwords = _byte_level(file, pieces) if is_bytes else _sentencepiece(file, pieces, ids)
        for piece in pieces:
            if piece.kind in ADDED_KINDS:
                special = piece.kind is PieceKind.CONTROL
                subwords.add_tokens([AddedToken(piece.text, normalized=False, special=special)])
    named = SpecialTokens.of_texts({role: pieces[number].text for role, number in ids.items()})
    tokens = SpecialTokens("", [], {}, named, [], {})
    default = not is_bytes or file.field(PREFIX + "pre", str) == "llama-bpe"
    has_begin, has_end = (file.field(f"{PREFIX}add_{role}_token", bool) for role in ("bos", "eos"))
    begin = "bos" if (default if has_begin is None else has_begin) else None
    add_marks(subwords, tokens, begin, "eos" if has_end else None)
    return PublishedTokenizer(subwords, SpecialIds(**ids), str(path))


def _pieces(file: GgufFile) -> list[Piece]:
    texts = file.field(PREFIX + "tokens", list) or []
    kinds = file.field(PREFIX + "token_type", list) or [PieceKind.NORMAL] * len(texts)
    scores = file.field(PREFIX + "scores", list) or [0.0] * len(texts)
    if not texts or len({*texts}) != len(texts) or not len(texts) == len(kinds) == len(scores):
        raise UserError(f"{file.path} has no tokens, a token twice, or lists of unequal lengths")
    known = [PieceKind(kind) if kind in [*PieceKind] else PieceKind.UNUSED for kind in kinds]
    return [Piece(*one) for one in zip(texts, scores, known, strict=True)]


def _byte_level(file: GgufFile, pieces: list[Piece]) -> tokenizers.Tokenizer:
    """BPE of bytes, as in GPT-2."""
    merges = [tuple(pair.split(" ")) for pair in file.field(PREFIX + "merges", list) or []]
    vocab = {piece.text: number for number, piece in enumerate(pieces)}
    pre = file.field(PREFIX + "pre", str)
    is_llama = pre == "llama-bpe"
    subwords = tokenizers.Tokenizer(models.BPE(vocab, merges, ignore_merges=is_llama))
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not is_llama)
    if pre == "gpt-2":
        before = []
    elif pre == "smollm":
        before = [pre_tokenizers.Digits(individual_digits=True)]
    elif is_llama:
        before = [pre_tokenizers.Split(Regex(LLAMA_3), "isolated")]
    else:
        raise UserError(
            f"{file.path} splits texts as {pre}: only gpt-2, smollm and llama-bpe are known; give "
            "the folder of the model with safetensors"
        )
    subwords.pre_tokenizer = pre_tokenizers.Sequence([*before, spelled])
    subwords.decoder = decoders.ByteLevel()
    return subwords


def _sentencepiece(
    file: GgufFile, pieces: list[Piece], ids: dict[str, int]
) -> tokenizers.Tokenizer:
    """BPE of SentencePiece, as in Llama 2."""
    has_prefix = file.field(PREFIX + "add_space_prefix", bool)
    model = SentencePieceModel(
        pieces,
        is_unigram=False,
        has_byte_fallback=any(piece.kind is PieceKind.BYTE for piece in pieces),
        special_ids=ids,
        charsmap=b"",
        adds_prefix=has_prefix is not False,
        removes_spaces=False,
        escapes_spaces=True,
    )
    return make_subwords(model, spaces="first")
