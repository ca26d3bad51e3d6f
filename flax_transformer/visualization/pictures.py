"""Writing a figure to a file."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from flax_transformer.errors import UserError


def check_picture_path(path: Path) -> None:
    """Refuses a path that no picture can be written to, before work is spent on one.

    Raises:
        UserError: if its folder does not exist or its suffix names no known format.
    """
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent} for the picture {path.name}: make it first")
    known = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise UserError(
            f"cannot write a picture {path}: end its name in one of .{', .'.join(known)}"
        )


def save_picture(figure: Figure, path: Path) -> None:
    """Writes a figure; a reader sees the old file or the new one, never half of one.

    Raises:
        UserError: if there is no such folder or format.
    """
    check_picture_path(path)
    # Beside the target, because os.replace is atomic within one file system only.
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        figure.savefig(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
