"""Writing a figure to a file."""

from pathlib import Path

from matplotlib.figure import Figure

from flax_transformer.errors import UserError
from flax_transformer.whole_files import check_folder, written_whole


def check_picture_path(path: Path) -> None:
    """Refuses a path that no picture can be written to, before work is spent on one.

    Raises:
        UserError: if its folder does not exist or its suffix names no known format.
    """
    check_folder(path, "picture")
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
    with written_whole(path) as unfinished:
        figure.savefig(unfinished)
