"""Ids of the tokens that are not text."""

import dataclasses

from flax_transformer.errors import UserError


@dataclasses.dataclass(frozen=True)
class SpecialIds:
    """Ids of the special tokens of a tokenizer; None where it has no such token.

    Attributes:
        pad: fills short rows of a batch.
        bos: begins a sequence.
        eos: ends a sequence.
        unk: replaces what the vocabulary cannot write.
        mask: replaces a hidden token.
        cls: begins a sequence that is classified.
        sep: separates two sequences.
    """

    pad: int | None = None
    bos: int | None = None
    eos: int | None = None
    unk: int | None = None
    mask: int | None = None
    cls: int | None = None
    sep: int | None = None

    @property
    def given(self) -> frozenset[int]:
        """The ids that are not None."""
        ids = dataclasses.astuple(self)
        return frozenset(token for token in ids if token is not None)

    def is_without(self, *roles: str) -> bool:
        """Returns whether none of the roles has a token."""
        return all(getattr(self, role) is None for role in roles)

    def need(self, *roles: str) -> int:
        """Returns the id of the first of some roles that has a token.

        Raises:
            UserError: if none of them has one.

        Example:
            >>> SpecialIds(cls=101, sep=102).need("bos", "cls")
            101
        """
        ids = (getattr(self, role) for role in roles)
        found = next((token for token in ids if token is not None), None)
        if found is None:
            names = " or ".join(f"{role}_token" for role in roles)
            raise UserError(f"the tokenizer has no {names}: name one in its tokenizer_config.json")
        return found
