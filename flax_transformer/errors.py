"""Errors that a user can cause and fix: one line that names the value and says what to do next."""

import difflib
import math
from collections.abc import Iterable


class UserError(Exception):
    r"""A mistake in a user's input; the command line prints its one line and exits with 2.

    It is not a ValueError, so that no parser takes it for one of its own. Whatever value the
    message quotes, it remains one line: characters that cannot be printed are escaped.

    Example:
        >>> print(UserError("no field 'd_ff\n'"))
        no field 'd_ff\n'
    """

    def __init__(self, message: str):
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


LARGEST_NUMBER = 2**31 - 1  # of 32 bits, in which JAX counts


def check_number(name: str, value: int, lowest: int = 1, highest: int = LARGEST_NUMBER) -> None:
    """Refuses a number that nothing can have.

    Args:
        name: of what has the number, as the user knows it.
        value: the number.
        lowest: the least allowed.
        highest: the largest allowed.

    Raises:
        UserError: if the number is out of its range.

    Example:
        >>> check_number("vocab_size", 37_000)
        >>> check_number("vocab_size", 0)
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: vocab_size must be at least 1, not 0
    """
    if value < lowest:
        raise UserError(f"{name} must be at least {lowest:,}, not {value}")
    if value > highest:
        raise UserError(f"{name} must be at most {highest:,}, not {value}")


def option(field: str) -> str:
    """Writes a field as the command line does.

    Example:
        >>> option("data.max_length")
        '--data.max-length'
    """
    return f"--{field.replace('_', '-')}"


def check_options(command: object, *names: str, lowest: int = 1) -> None:
    """Refuses a command some of whose options are numbers that they cannot have.

    Args:
        command: a dataclass of options.
        names: of its fields to check; one that is None is an option not given.
        lowest: the least allowed.

    Raises:
        UserError: names the first such option, as the command line knows it.

    Example:
        >>> import types
        >>> check_options(types.SimpleNamespace(num_steps=0), "num_steps")
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: --num-steps must be at least 1, not 0
    """
    for name in names:
        if (value := getattr(command, name)) is not None:
            check_number(option(name), value, lowest)


def check_positive(name: str, value: float) -> None:
    """Refuses a number that is not positive, or not finite.

    Example:
        >>> check_positive("learning_rate", float("inf"))
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: learning_rate must be positive, not inf
    """
    if not 0 < value < math.inf:
        raise UserError(f"{name} must be positive, not {value}")


def refuse(mistakes: Iterable[tuple[bool, str]]) -> None:
    """Refuses values by the first mistake that was made.

    Args:
        mistakes: whether each was made, and its message.

    Raises:
        UserError: if one was made.

    Example:
        >>> refuse([(False, "alpha is negative"), (True, "top_p is above 1")])
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: top_p is above 1
    """
    for is_made, message in mistakes:
        if is_made:
            raise UserError(message)


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Makes the error for a name that is not among the known ones, with the nearest suggestion.

    Example:
        >>> str(unknown("preset", "bsae", ["base", "big"]))
        "unknown preset 'bsae': did you mean 'base'? Known: base, big"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{name}':{hint} Known: {', '.join(names)}")
