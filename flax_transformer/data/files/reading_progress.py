"""Progress while many files are read: a bar in a terminal, otherwise a few lines."""

import time
from collections.abc import Generator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_SILENT = 10  # without a terminal
Item = TypeVar("Item")


def show_progress(
    title: str, items: Sequence[Item], console: Console | None = None
) -> Generator[Item, None, None]:
    """Yields items, and shows their count on standard error.

    Args:
        title: description of the work.
        items: items to work on.
        console: where to show progress; standard error by default.
    """
    console = console or Console(stderr=True)
    said = time.monotonic()
    with Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        # rich must not redirect the output of others, which may already be redirected on purpose.
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=len(items))
        for number, item in enumerate(items, 1):
            yield item
            bar.update(task, completed=number)
            if not console.is_terminal and time.monotonic() - said > SECONDS_SILENT:
                said = time.monotonic()
                line = f"{title}: {number:,} of {len(items):,}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
