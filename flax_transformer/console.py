"""Tables and lines on the console."""

import textwrap
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from flax_transformer.evaluation.metric import shown
from flax_transformer.evaluation.report import Record


def show_scores(record: Record, console: Console | None = None) -> None:
    """Prints the scores of a split, or of other files, as a table."""
    console = console or Console(force_jupyter=False)
    if console.quiet:
        return
    scored = record.split or ", ".join(record.files.values())
    step = f"{record.checkpoint_step:,}"
    weights = f"mean of {record.num_averaged} checkpoints up to step {step}"
    if record.num_averaged == 1:
        weights = f"checkpoint of step {step}"
    # As a title of the table, it would be broken at the table's width.
    explain(console, f"{scored}: {_how(record.decoding)}{weights}")
    table = Table()
    table.add_column("score", no_wrap=True)
    table.add_column("value", no_wrap=True, justify="right")
    # Wrapped, never cut: half a signature is useless.
    table.add_column("signature", overflow="fold")
    for name, score in record.scores.items():
        table.add_row(name, shown(name, score.value), score.signature or "")
    _print_table(console, table)


def _how(decoding: dict[str, Any] | None) -> str:
    if decoding is None or decoding["method"] != "beam":
        return f"{decoding['method']}, " if decoding else ""
    return f"beam {decoding['beam_size']}, {decoding['length_penalty']} {decoding['alpha']}, "


def show_table(console: Console, title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Prints named rows with the same columns, without splitting words.

    On a narrow terminal, cells are wrapped between words. On a very narrow one, each row is a block
    of lines. In a file or a pipe, each row is one line.
    """
    headings = ["name", *next(iter(rows.values()))]
    lines = [[name, *map(_shown, row.values())] for name, row in rows.items()]
    columns = list(zip(headings, *lines, strict=True))
    widths = [max(map(cell_len, cells)) for cells in columns]
    # A name comes from the user: it counts as one word even with spaces.
    words = [widths[0], *(max(map(_longest_word, cells)) for cells in columns[1:])]
    room = console.width - 3 * len(columns) - 1 if console.is_terminal else sum(widths)
    explain(console, title)
    if sum(words) <= room:
        table = Table()
        for heading, width in zip(headings, _narrowed(widths, words, room), strict=True):
            table.add_column(heading, width=width)
        for line in lines:
            table.add_row(*map(Text, line))
        _print_table(console, table)
        return
    for name, *cells in lines:
        console.print(Text(name, style="bold"))
        for heading, cell in zip(headings[1:], cells, strict=True):
            if cell:
                _print_wrapped(console, f"{heading}: {cell}")


def _shown(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _longest_word(cell: str) -> int:
    return max(map(cell_len, cell.split()), default=0)


def _narrowed(widths: list[int], least: list[int], room: int) -> list[int]:
    """Narrows the widest columns until all fit, but never below the longest word."""
    widths = list(widths)
    while sum(widths) > room:
        widest = max(
            (index for index, width in enumerate(widths) if width > least[index]),
            key=widths.__getitem__,
        )
        widths[widest] -= 1
    return widths


def _print_table(console: Console, table: Table) -> None:
    """Prints a table; without a terminal, at full width instead of rich's assumed width."""
    if not console.is_terminal:
        needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        console = Console(file=console.file, width=needed)
    console.print(table)


def _print_wrapped(console: Console, line: str) -> None:
    """Prints a line of a block, broken between words."""
    wrapped = textwrap.fill(
        line,
        console.width,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    say(console, wrapped)


def explain(console: Console, text: str) -> None:
    """Prints a text, broken between words on a terminal, and on one line elsewhere."""
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def say(console: Console, line: str) -> None:
    """Prints a line without wrapping it."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
