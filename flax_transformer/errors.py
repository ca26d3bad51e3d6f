"""User errors: one line that names the wrong value and says how to fix it."""

import difflib
import math
import os
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    r"""A mistake in a user's input; the command line prints its one line and exits with 2.

    It is not a ValueError, as parsers catch those. The message is always one line: unprintable
    characters in quoted values are escaped.

    Example:
        >>> print(UserError("no field 'd_ff\n'"))
        no field 'd_ff\n'
    """

    def __init__(self, message: str):
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in message))


LARGEST_NUMBER = 2**31 - 1  # the largest int32, as JAX counts in 32 bits


def check_number(name: str, value: int, lowest: int = 1, highest: int = LARGEST_NUMBER) -> None:
    """Rejects a number that is out of range.

    Args:
        name: of the value, as the user knows it.
        value: the number.
        lowest: smallest allowed value.
        highest: largest allowed value.

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
    """Formats a field as its command-line option.

    Example:
        >>> option("data.max_length")
        '--data.max-length'
    """
    return f"--{field.replace('_', '-')}"


def check_options(command: object, *names: str, lowest: int = 1) -> None:
    """Rejects a command with an option that is out of range.

    Args:
        command: a dataclass of options.
        names: of the fields to check; None as a value means that the option was not given.
        lowest: smallest allowed value.

    Raises:
        UserError: names the first such option.

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
    """Rejects a number that is not positive or not finite.

    Example:
        >>> check_positive("learning_rate", float("inf"))
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: learning_rate must be positive, not inf
    """
    if not 0 < value < math.inf:
        raise UserError(f"{name} must be positive, not {value}")


def refuse(mistakes: Iterable[tuple[bool, str]]) -> None:
    """Raises the message of the first mistake.

    Args:
        mistakes: pairs of whether a mistake was made, and its message.

    Raises:
        UserError: if any mistake was made.

    Example:
        >>> refuse([(False, "alpha is negative"), (True, "top_p is above 1")])
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: top_p is above 1
    """
    for is_made, message in mistakes:
        if is_made:
            raise UserError(message)


def path_of(name: str, value: object) -> Path:
    """Returns a value as a path.

    Args:
        name: of what is at the path, for the message.
        value: given by a user.

    Raises:
        UserError: if it is neither a string nor a path.

    Example:
        >>> path_of("the model", None)
        Traceback (most recent call last):
            ...
        flax_transformer.errors.UserError: the model is None: give a path as a string
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise UserError(f"{name} is {value!r:.60}: give a path as a string")
    return Path(value)


def near_file(path: Path, beside: Iterable[Path]) -> Path | None:
    """Finds the path whose name without its suffix is most like that of a path, if any is.

    Example:
        >>> near_file(Path("a/trek.py"), [Path("a/digits.py"), Path("a/trec.py")]).as_posix()
        'a/trec.py'
    """
    by_stem = {other.stem: other for other in beside}
    near = difflib.get_close_matches(path.stem, by_stem, n=1)
    return by_stem[near[0]] if near else None


def first_line(error: BaseException) -> str:
    r"""Returns the type and the first line of an error.

    Example:
        >>> first_line(OSError("no room\nat all"))
        'OSError: no room'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


class UnknownPartError(UserError):
    """A name that a dictionary of parts lacks; a Python file of the user's own can add it."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Makes the error for an unknown name, with the nearest known name as a suggestion.

    Example:
        >>> str(unknown("preset", "bsae", ["base", "big"]))
        "unknown preset 'bsae': did you mean 'base'? Known: base, big"
        >>> str(unknown("preset", "huge", ["base", "big"]))
        "unknown preset 'huge'; known: base, big"
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    return _unknown(kind, name, near[0] if near else None, names)


def unknown_part(kind: str, name: str, known: Iterable[str]) -> UnknownPartError:
    """Makes the error for an unknown name like `unknown`, if `--parts` can add the name.

    Example:
        >>> str(unknown_part("--model.norm", "group", ["layer", "rms"]))
        "unknown --model.norm 'group'; known: layer, rms"
    """
    return UnknownPartError(str(unknown(kind, name, known)))


def unknown_path(kind: str, path: Path, beside: Iterable[Path]) -> UserError:
    """Makes the error for an unknown path like `unknown`; folders and suffixes are not compared.

    Example:
        >>> str(unknown_path("experiment file", Path("nope.py"), [Path("trec.py")]))
        "unknown experiment file 'nope.py'; known: trec.py"
    """
    known = sorted(beside)
    near = near_file(path, known)
    return _unknown(kind, str(path), near and str(near), [str(other) for other in known])


def _unknown(kind: str, name: str, near: str | None, names: list[str]) -> UserError:
    hint = f": did you mean '{near}'? Known" if near else "; known"
    return UserError(f"unknown {kind} '{name}'{hint}: {', '.join(names)}")
