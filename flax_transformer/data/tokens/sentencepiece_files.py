"""SentencePiece models of T5, Llama, Gemma and Pegasus, in one .model file."""

from pathlib import Path

import tokenizers
from tokenizers import AddedToken

from flax_transformer.data.tokens.published_tokenizer import reported
from flax_transformer.data.tokens.sentencepiece_model import Piece, PieceKind, SentencePieceModel
from flax_transformer.data.tokens.sentencepiece_subwords import make_subwords
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.special_tokens import CONFIG, SpecialTokens
from flax_transformer.data.tokens.whole_text_marks import add_marks
from flax_transformer.errors import UserError

MODELS = "spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "sentencepiece.model"
# Other families give the pieces other ids than their places.
FAMILIES = "", "t5", "mt5", "llama", "gemma", "pegasus"
NUM_EXTRA_IDS = 100  # T5's marks of hidden parts of a text
PEGASUS_OFFSET = 103  # of the pieces after the first two


def read_sentencepiece(
    path: Path, tokens: SpecialTokens
) -> tuple[tokenizers.Tokenizer, SpecialIds]:
    """Reads a tokenizer.

    Args:
        path: of the SentencePiece model.
        tokens: special tokens of its folder.

    Raises:
        UserError: if a file is damaged, or the family gives its pieces other ids.
    """
    family = tokens.family
    tokens.check_family(str(path), FAMILIES)
    model = SentencePieceModel.read(path)
    roles = {role: model.pieces[number].text for role, number in model.special_ids.items()}
    named = {**SpecialTokens.of_texts(roles), **tokens.named}
    tokens = tokens._replace(named=named)
    if family == "pegasus":
        model = _with_pegasus_pieces(model, path, tokens)
    spaces = "each" if family != "llama" else "always" if tokens.flag("legacy", False) else "first"
    with reported(str(path)):
        subwords = make_subwords(model, spaces=spaces)
    if family in ("t5", "mt5"):
        count = _whole_number(tokens, "extra_ids", NUM_EXTRA_IDS)
        # The first mark has the highest id.
        extra = [f"<extra_id_{number}>" for number in reversed(range(count))]
        subwords.add_special_tokens([AddedToken(text, normalized=False) for text in extra])
    special = tokens.add_to(subwords, str(path.parent / CONFIG))
    is_marked = family in ("t5", "mt5", "pegasus")
    begin = "bos" if tokens.flag("add_bos_token", family in ("llama", "gemma")) else None
    end = "eos" if tokens.flag("add_eos_token", is_marked) else None
    add_marks(subwords, tokens, begin, end)
    return subwords, special


def _with_pegasus_pieces(
    model: SentencePieceModel, path: Path, tokens: SpecialTokens
) -> SentencePieceModel:
    """Puts Pegasus' own tokens between the first two pieces and the others."""
    offset = _whole_number(tokens, "offset", PEGASUS_OFFSET)
    names = ["<mask_1>", "<mask_2>", *(f"<unk_{number}>" for number in range(2, offset))]
    # The score of the least likely piece decides that of an unknown letter.
    own = [Piece(name, -100.0, PieceKind.CONTROL) for name in names]
    pieces = [*model.pieces[:2], *own, *model.pieces[2:]]
    if len({piece.text for piece in pieces}) < len(pieces):
        raise UserError(f"{path} has a piece of the name of a token of Pegasus: restore the file")
    return model._replace(pieces=pieces)


def _whole_number(tokens: SpecialTokens, name: str, default: int) -> int:
    value = tokens.settings.get(name, default)
    if type(value) is not int or not 0 <= value <= 10_000:
        raise UserError(f"{CONFIG} has {name} {value!r:.40}: give a number from 0 to 10,000")
    return value
