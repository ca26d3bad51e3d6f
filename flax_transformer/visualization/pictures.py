"""Common parts of all pictures: figures, the style of axes, and writing to files."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flax_transformer.errors import UserError
from flax_transformer.whole_files import check_target, written_whole

NO_TICKS: dict[str, Any] = {"xticks": [], "yticks": []}
# Okabe and Ito's colors for the color-blind, without the pale yellow.
COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"]


def new_figure(
    width: int | float,
    height: int | float,
    rows: int = 1,
    columns: int = 1,
    number: int | None = None,
    **options: Any,
) -> tuple[Figure, list[Axes]]:
    """Makes a figure.

    Args:
        width: inches.
        height: inches.
        rows: of panels; 0 for a figure without any.
        columns: of panels.
        number: of panels, if the last row is not full.
        options: of Matplotlib's `Figure.subplots`.

    Returns:
        The figure and its panels, row by row.
    """
    figure = Figure((width, height), dpi=100, layout="constrained")
    if not rows:
        return figure, []
    panels = figure.subplots(rows, columns, squeeze=False, **options).ravel().tolist()
    for axes in panels[number:] if number else []:
        axes.remove()
    return figure, panels[:number]


def style_axes(axes: Axes, title: str, x_label: str, **title_style: Any) -> None:
    """Writes a panel's title and label, and removes the superfluous lines of its frame.

    Args:
        axes: the panel.
        title: of the panel.
        x_label: label of the horizontal axis.
        title_style: Matplotlib's options of the title.
    """
    axes.set_title(title, **title_style)
    axes.set_xlabel(x_label)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def check_picture_path(path: Path, option: str = "") -> None:
    """Rejects a path that cannot be written, before work is spent on a picture.

    Args:
        path: of the picture.
        option: that gives the path, for the error.

    Raises:
        UserError: if its folder does not exist, it is not a file (see `check_target`), or its
            suffix is not a known format.
    """
    check_target(path, "picture", option)
    known = sorted(Figure().canvas.get_supported_filetypes())
    if path.suffix.removeprefix(".").lower() not in known:
        raise UserError(
            f"cannot write a picture {path}: end its name in one of .{', .'.join(known)}"
        )


def save_picture(figure: Figure, path: Path) -> None:
    """Writes a figure to a file, atomically.

    Raises:
        UserError: see `check_picture_path`.
    """
    check_picture_path(path)
    with written_whole(path) as unfinished:
        figure.savefig(unfinished)
