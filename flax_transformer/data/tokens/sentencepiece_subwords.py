"""Tokenizers of the library tokenizers that do what SentencePiece models do."""

import re

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from flax_transformer.data.tokens.sentencepiece_model import PieceKind, SentencePieceModel

SPACE = "\u2581"  # the letter that a space is written as
HIDDEN = "\U0010ffff"  # begins the name of a piece that no text may contain; not a character
HIDDEN_KINDS = PieceKind.CONTROL, PieceKind.UNKNOWN, PieceKind.UNUSED


def make_subwords(
    model: SentencePieceModel, *, spaces: str = "each", has_added: bool = True
) -> tokenizers.Tokenizer:
    """Makes a tokenizer whose ids are the places of the pieces.

    The library normalizes each visible character as a whole, and SentencePiece the longest text
    that a rule knows. They differ in rare sequences, such as Hangul that is written by its parts.

    Args:
        model: the SentencePiece model.
        spaces: where the model's space is added before a text: "each", also after a special token
            in it; "always", as "each" but not before a space; "first", as "always" but only at
            the start.
        has_added: whether control pieces are special tokens, which a text may contain, and the
            tokenizer normalizes. Otherwise it does neither.
    """
    subwords = tokenizers.Tokenizer((_unigram if model.is_unigram else _bpe)(model, has_added))
    steps: list[normalizers.Normalizer] = []
    if has_added and model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.removes_spaces:
        steps += [
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    if model.adds_prefix and spaces == "each":
        steps.append(normalizers.Prepend(SPACE if model.escapes_spaces else " "))
    if model.escapes_spaces:
        steps.append(normalizers.Replace(" ", SPACE))
    subwords.normalizer = normalizers.Sequence(steps)
    splits = []
    if model.adds_prefix and spaces != "each":
        splits.append(pre_tokenizers.Metaspace(SPACE, prepend_scheme=spaces, split=False))
    if whole := _texts(model, PieceKind.USER_DEFINED):
        longest_first = sorted(whole, key=len, reverse=True)
        pattern = Regex("|".join(map(re.escape, longest_first)))
        splits.append(pre_tokenizers.Split(pattern, "isolated"))
    subwords.pre_tokenizer = pre_tokenizers.Sequence(splits)
    subwords.decoder = _decoder(model)
    if has_added:
        control = _texts(model, PieceKind.CONTROL)
        tokens = [AddedToken(text, normalized=False, special=True) for text in control]
        subwords.add_special_tokens(tokens)
    return subwords


def _unigram(model: SentencePieceModel, has_added: bool) -> models.Model:
    hidden = () if has_added else HIDDEN_KINDS
    pieces = [(HIDDEN * (piece.kind in hidden) + piece.text, piece.score) for piece in model.pieces]
    (unknown,) = (n for n, p in enumerate(model.pieces) if p.kind is PieceKind.UNKNOWN)
    return models.Unigram(pieces, unk_id=unknown, byte_fallback=model.has_byte_fallback)


def _bpe(model: SentencePieceModel, has_added: bool) -> models.Model:
    """Merges two pieces into a third one, that with the highest score first."""
    del has_added  # only merges make pieces, and none makes a control piece
    ranks = {
        piece.text: (-piece.score, number)
        for number, piece in enumerate(model.pieces)
        if piece.kind is PieceKind.NORMAL
    }
    merges = sorted(
        (rank, cut, text)
        for text, rank in ranks.items()
        for cut in range(1, len(text))
        if text[:cut] in ranks and text[cut:] in ranks
    )
    (unknown,) = _texts(model, PieceKind.UNKNOWN)
    return models.BPE(
        {piece.text: number for number, piece in enumerate(model.pieces)},
        [(text[:cut], text[cut:]) for _, cut, text in merges],
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=model.has_byte_fallback,
        # Finds pieces of the user, which no merge makes.
        ignore_merges=bool(_texts(model, PieceKind.USER_DEFINED)),
    )


def _decoder(model: SentencePieceModel) -> decoders.Decoder:
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.adds_prefix:
        steps.append(decoders.Strip(" ", left=1))
    return decoders.Sequence(steps)


def _texts(model: SentencePieceModel, kind: PieceKind) -> list[str]:
    return [piece.text for piece in model.pieces if piece.kind is kind]
