"""WordPiece of BERT, in vocab.txt."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from flax_transformer.data.files.limited_files import read_limited_text
from flax_transformer.data.tokens.published_tokenizer import reported
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.special_tokens import CONFIG, DEFAULTS, SpecialTokens
from flax_transformer.data.tokens.whole_text_marks import add_marks
from flax_transformer.errors import UserError

VOCAB = "vocab.txt"
FAMILIES = "", "bert", "distilbert", "electra", "mobilebert"


def read_word_pieces(
    folder: Path, tokens: SpecialTokens
) -> tuple[tokenizers.Tokenizer, SpecialIds]:
    """Reads the tokenizer of a folder; a piece's id is its line.

    Args:
        folder: with vocab.txt.
        tokens: special tokens of the folder; without a family they are BERT's.

    Raises:
        UserError: if a file is damaged, or the family has another kind of tokenizer.
    """
    tokens.check_family(str(folder / VOCAB), FAMILIES)
    if not tokens.family:
        bert = SpecialTokens.of_texts(DEFAULTS["bert"])
        tokens = tokens._replace(named={**bert, **tokens.named})
    path = folder / VOCAB
    lines = read_limited_text(path).removesuffix("\n").split("\n")
    vocab = {line.rstrip(): number for number, line in enumerate(lines)}
    unk = tokens.named.get("unk")
    if unk is None or unk.content not in vocab:
        raise UserError(f"{path} has no line {unk and unk.content}: restore the file")
    with reported(str(path)):
        subwords = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=unk.content))
    subwords.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(tokens.flag("tokenize_chinese_chars", True)),
        strip_accents=tokens.flag("strip_accents", None),
        lowercase=bool(tokens.flag("do_lower_case", True)),
    )
    subwords.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    subwords.decoder = decoders.WordPiece(prefix="##")
    special = tokens.add_to(subwords, str(folder / CONFIG))
    add_marks(subwords, tokens, "cls", "sep")
    return subwords, special
