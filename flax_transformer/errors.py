"""Errors a user can cause and mend: one line that names the value and says what to do next."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a user's input; the command line prints its one line and exits with 2.

    It is no ValueError, so that no parser takes it for one of its own.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Makes the error for a name that is not among the known ones, with the nearest suggestion.

    Example:
        >>> str(unknown("preset", "bsae", ["base", "big"]))
        "unknown preset 'bsae': did you mean 'base'? Known: base, big."
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{name}':{hint} Known: {', '.join(names)}.")
