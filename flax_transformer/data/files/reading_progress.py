"""Progress while many files are read: a bar on a terminal, a few lines elsewhere."""

import time
from collections.abc import Generator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_SILENT = 10  # where there is no terminal
Item = TypeVar("Item")


def show_progress(
    title: str, items: Sequence[Item], console: Console | None = None
) -> Generator[Item, None, None]:
    """Gives items, and shows on standard error how many of them were given.

    Args:
        title: what is being done.
        items: to work on.
        console: where to show it, if not on standard error.
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
        # rich must not redirect what others print: it may be redirected already, on purpose.
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
