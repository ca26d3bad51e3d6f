"""What a parser says about a mistake, in one line that says what to do."""

import difflib
import re

# What tyro and Python say -> the same with the thing to do.
PLAIN_WORDS = {
    r"^Error parsing (--\S+): invalid literal.*: (.*)$": r"\1 must be a whole number, not \2",
    r"^Error parsing (--\S+): could not convert.*: (.*)$": r"\1 must be a number, not \2",
    r"^Unrecognized options: (.*)$": r"unexpected argument '\1': --help lists what is expected",
}


def unknown_option(words: list[str], known: list[str]) -> str:
    """Reports the first unknown option and the nearest known one; "" if all are known.

    Args:
        words: of the command line.
        known: names of options.
    """
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        spelled = option.replace("_", "-")  # tyro accepts both
        if spelled not in known:
            near = difflib.get_close_matches(spelled, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "--help lists the options"
            return f"unknown option '{option}': {hint}"
    return ""


def unframed(box: str) -> str:
    """Makes one line of tyro's error box.

    Args:
        box: as it was printed, perhaps with colors.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)  # terminal colors
    lines = [line.strip("│╭╮╰╯─ ") for line in plain.splitlines()[1:]]
    # Without a terminal, the box has rules of hyphens between the lines.
    said = " ".join(line for line in lines if line.strip("-"))
    # Of the options it suggests the nearest is enough; --help shows the rest.
    said = said.partition(" For full helptext")[0].partition(" in flax-transformer ")[0]
    return said.partition(" Argument helptext")[0]
