"""Tokenizers of OPUS-MT translators, in source.spm, target.spm and vocab.json."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models

from flax_transformer.data.tokens.byte_level_files import read_vocab
from flax_transformer.data.tokens.opus_mt_tokenizer import OpusTokenizer, Side
from flax_transformer.data.tokens.published_tokenizer import reported
from flax_transformer.data.tokens.sentencepiece_model import SentencePieceModel
from flax_transformer.data.tokens.sentencepiece_subwords import SPACE, make_subwords
from flax_transformer.data.tokens.special_tokens import CONFIG, DEFAULTS, SpecialTokens
from flax_transformer.errors import UserError

SOURCE, TARGET, VOCAB, TARGET_VOCAB = "source.spm", "target.spm", "vocab.json", "target_vocab.json"


def read_opus_mt(folder: Path, tokens: SpecialTokens) -> OpusTokenizer:
    """Reads the tokenizer of a folder.

    Args:
        folder: with both SentencePiece models and the table.
        tokens: special tokens of the folder.

    Raises:
        UserError: if a file is damaged or missing.
    """
    named = {**SpecialTokens.of_texts(DEFAULTS["marian"]), **tokens.named}
    tokens = tokens._replace(named=named)
    target_vocab = TARGET_VOCAB if tokens.flag("separate_vocabs", False) else VOCAB
    sides = [
        _side(folder / model, folder / vocab, tokens)
        for model, vocab in ((SOURCE, VOCAB), (TARGET, target_vocab))
    ]
    return OpusTokenizer(*sides, source=str(folder))


def _side(path: Path, vocab_path: Path, tokens: SpecialTokens) -> Side:
    vocab = read_vocab(vocab_path)
    unknown = tokens.named["unk"].content
    if unknown not in vocab:
        raise UserError(f"{vocab_path} has no id for {unknown}: restore the file")
    model = SentencePieceModel.read(path)
    with reported(str(path)):
        pieces = make_subwords(model, has_added=False)
        table = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token=unknown))
        table.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse()])
        special = tokens.add_to(table, str(vocab_path.parent / CONFIG))
        added = list(table.get_added_tokens_decoder().values())
        pieces.add_tokens(added)
    return Side(pieces, model.charsmap, table, special)
