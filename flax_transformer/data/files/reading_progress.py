"""Progress while many files are read: a bar in a terminal, otherwise a few lines."""

import time
from collections.abc import Generator, Iterable, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_SILENT = 10  # without a terminal
OFTEN = 1_000  # items of a stream
Item = TypeVar("Item")


def show_progress(
    title: str, items: Iterable[Item], console: Console | None = None
) -> Generator[Item, None, None]:
    """Yields items, and shows their count on standard error.

    Args:
        title: description of the work.
        items: items to work on; of a stream, every thousandth is shown.
        console: where to show progress; standard error by default.
    """
    console = console or Console(stderr=True)
    said = time.monotonic()
    number_of_all = len(items) if isinstance(items, Sized) else None
    often = 1 if number_of_all is not None else OFTEN
    of_all = "" if number_of_all is None else f" of {number_of_all:,}"
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
        task = bar.add_task("", total=number_of_all)
        for number, item in enumerate(items, 1):
            yield item
            if number % often:
                continue
            bar.update(task, completed=number)
            if not console.is_terminal and time.monotonic() - said > SECONDS_SILENT:
                said = time.monotonic()
                console.print(
                    f"{title}: {number:,}{of_all}", markup=False, highlight=False, soft_wrap=True
                )
