"""Checks of the texts that users give to a predictor."""

import warnings
from collections.abc import Iterable

from flax_transformer.data.batches.examples import Inputs, TextInputs
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError


class CutTextWarning(UserWarning):
    """A text is longer than the model reads at once."""


def list_texts(texts: str | Iterable[str]) -> list[str]:
    """Makes a list of the texts; a string is one text.

    Args:
        texts: one or several.

    Raises:
        UserError: if there is something else than strings.

    Example:
        >>> list_texts("two"), list_texts(("two", "six"))
        (['two'], ['two', 'six'])
    """
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise UserError(f"the texts are {texts!r:.60}: give a string or a list of strings")
    texts = list(texts)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise UserError(
                f"text {number} is not a string but {text!r:.60}: give a list of strings"
            )
    return texts


def encode_text(
    tokenizer: Tokenizer, name: str, text: str, max_length: int | None, *, begin: bool, end: bool
) -> list[int]:
    """Encodes a text for an attention view; the text must fit as a whole.

    Args:
        tokenizer: of the model.
        name: of the text, for error messages.
        text: any text that is not blank.
        max_length: tokens that the model reads; None: any number.
        begin: whether to add the begin mark.
        end: whether to add the end mark.

    Raises:
        UserError: if the text is blank or too long.
    """
    if not text.strip():
        raise UserError(f"{name} is blank: give one to look at")
    if end:
        ids = tokenizer.encode_marked([text], begin=begin)[0].tolist()
    else:
        ids = [tokenizer.bos_id] * begin + tokenizer.encode(text)
    if max_length is not None and len(ids) > max_length:
        raise UserError(
            f"{name} has {len(ids)} tokens, but the model reads {max_length}: give a shorter one"
        )
    return ids


def warn_of_cut_texts(inputs: Inputs, where: str = "") -> None:
    """Warns once if any texts were cut.

    Args:
        inputs: texts; or images or videos, which are never cut.
        where: origin of the texts, such as "of the split train".
    """
    if not isinstance(inputs, TextInputs) or not inputs.num_cut:
        return
    verb = "are" if inputs.num_cut > 1 else "is"
    texts = " ".join(filter(None, ["texts", where]))
    warnings.warn(
        f"{inputs.num_cut:,} of {len(inputs):,} {texts} {verb} longer than --data.max-length "
        f"{inputs.max_length} and {verb} cut",
        CutTextWarning,
        stacklevel=3,
    )


def warn_of_long_lines(
    lengths: Iterable[int], max_length: int, numbers: Iterable[int], consequence: str
) -> None:
    """Warns about each line that has more tokens than the model reads.

    Args:
        lengths: of the lines, in tokens.
        max_length: tokens that the model reads.
        numbers: line numbers for the warnings.
        consequence: what happens to a longer line.
    """
    for number, length in zip(numbers, lengths, strict=False):
        if length > max_length:
            warnings.warn(
                f"line {number} has {length} tokens: {consequence}", CutTextWarning, stacklevel=4
            )
