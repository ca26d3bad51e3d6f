"""Tables and lines on the console."""

from typing import Any

from rich.console import Console
from rich.table import Table

from flax_transformer.evaluation.report import Record
from flax_transformer.evaluation.scores import shown


def show_scores(console: Console, record: Record) -> None:
    """Prints the scores of a split, or of other files, as a table."""
    scored = record.split or ", ".join(record.files.values())
    table = Table(
        title=f"{scored}: {_how(record.decoding)}mean of {record.num_averaged} "
        f"checkpoint(s) up to step {record.checkpoint_step:,}",
        title_justify="left",
    )
    for heading in ("score", "value", "signature"):
        # Folded, never cut: half a signature says nothing.
        justify = "right" if heading == "value" else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for name, score in record.scores.items():
        table.add_row(name, shown(name, score.value), score.signature or "")
    console.print(table)


def _how(decoding: dict[str, Any] | None) -> str:
    if decoding is None:
        return ""
    if decoding["method"] != "beam":
        return f"{decoding['method']}, "
    return f"beam {decoding['beam_size']}, {decoding['length_penalty']} {decoding['alpha']}, "


def show_table(console: Console, title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Prints named rows of the same columns."""
    table = Table(title=title, title_justify="left")
    columns = list(next(iter(rows.values())))
    # A name is what one types, so it is never cut, and other cells go on in a further line.
    table.add_column("name", no_wrap=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for name, row in rows.items():
        cells = [f"{cell:,}" if isinstance(cell, int) else cell for cell in row.values()]
        table.add_row(name, *cells)
    console.print(table)


def say(console: Console, line: str) -> None:
    """Prints a line as it is, however long."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
