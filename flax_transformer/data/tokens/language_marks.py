"""The marks of languages that translators of many languages read and write, such as eng_Latn."""

from collections.abc import Sequence

import tokenizers
from tokenizers import processors

from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.errors import UserError, unknown


def language_id(
    subwords: tokenizers.Tokenizer, special: SpecialIds, option: str, language: str
) -> int:
    """Returns the id of the mark of a language.

    Args:
        subwords: the tokenizer.
        special: its other special ids.
        option: that names the language, for the error message.
        language: as the tokenizer spells it.

    Raises:
        UserError: if the tokenizer has no such mark.
    """
    known = {
        token.content: number
        for number, token in subwords.get_added_tokens_decoder().items()
        if token.special and number not in special.given
    }
    if not known:
        raise UserError(f"{option} {language}: the tokenizer has no languages: leave it out")
    if language not in known:
        raise unknown(option, language, known)
    return known[language]


def with_language(
    subwords: tokenizers.Tokenizer, special: SpecialIds, number: int
) -> tokenizers.Tokenizer:
    """Returns a copy of a tokenizer that marks texts as those of a language.

    Args:
        subwords: the tokenizer, which marks texts as those of any language.
        special: its other special ids.
        number: the id of the mark.

    Raises:
        UserError: if it marks no text as that of a language.
    """
    before, after = _marks(subwords)
    if len({*before, *after} - special.given) != 1:
        raise UserError("the tokenizer does not mark the language of texts: name no language")
    sides = [
        [mark if mark in special.given else number for mark in side] for side in (before, after)
    ]
    names = {mark: subwords.id_to_token(mark) or "" for side in sides for mark in side}
    made = tokenizers.Tokenizer.from_str(subwords.to_str())
    made.encode_special_tokens = subwords.encode_special_tokens
    made.post_processor = processors.TemplateProcessing(
        single=[*map(names.get, sides[0]), "$A", *map(names.get, sides[1])],
        special_tokens=[(name, mark) for mark, name in names.items()],
    )
    return made


def _marks(subwords: tokenizers.Tokenizer) -> tuple[Sequence[int], Sequence[int]]:
    """Returns the ids that are added before a text and after it."""
    marked, plain = (subwords.encode("a", add_special_tokens=x).ids for x in (True, False))
    for start in range(len(marked) - len(plain) + 1):
        end = start + len(plain)
        if marked[start:end] == plain:
            return marked[:start], marked[end:]
    return [], []
