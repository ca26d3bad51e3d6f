"""The special tokens that a published tokenizer adds around a text."""

import tokenizers
from tokenizers import processors

from flax_transformer.data.tokens.special_tokens import SpecialTokens


def add_marks(
    subwords: tokenizers.Tokenizer, tokens: SpecialTokens, begin: str | None, end: str | None
) -> None:
    """Sets the post-processor of a tokenizer.

    Args:
        subwords: the tokenizer, which is changed.
        tokens: its special tokens.
        begin: role of the token before a text, such as "cls"; None: none.
        end: role of the token after a text.
    """
    before, after = (
        [tokens.named[role].content] if role is not None and role in tokens.named else []
        for role in (begin, end)
    )
    names = {*before, *after}
    ids = [(name, subwords.token_to_id(name)) for name in sorted(names)]
    subwords.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after], special_tokens=ids
    )
