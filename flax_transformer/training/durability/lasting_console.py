"""A console for work that goes on when nobody reads the output any more."""

import contextlib

from rich.console import Console


class LastingConsole(Console):
    """A console that becomes silent when its reader goes away, as with `| head`.

    rich's own console ends the process then, and a training would lose its last steps.
    """

    def on_broken_pipe(self) -> None:
        """Makes this console silent, and standard output one that accepts everything."""
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
