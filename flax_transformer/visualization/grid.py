"""Grids of cells with a text and a color, such as layers over words, on the viewer's page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from flax_transformer.visualization.visible_text import isolated, visible_token


class Grid(NamedTuple):
    """Rows and columns of cells.

    Attributes:
        title: of the grid.
        rows: name of each row.
        columns: name of each column, such as a token.
        values: from -1 to 1, the color of each cell; others are clipped.
        texts: in each cell.
        hints: shown when the pointer rests on a cell, which may have several lines; empty for none.
        opens: name of the reading that a click on a cell opens; empty for none.
        view: name of the page's view that shows the grid, with all other grids of that name.
        note: what the values are, in a sentence or two.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Float[np.ndarray, "rows columns"]
    texts: Sequence[Sequence[str]]
    hints: Sequence[Sequence[str]] = ()
    opens: Sequence[Sequence[str]] = ()
    view: str = "Cells"
    note: str = ""

    def described(self) -> dict[str, Any]:
        """Describes the grid for the page.

        Raises:
            ValueError: if names, values and texts do not fit.

        Example:
            >>> Grid("one", ["layer 0"], ["a"], np.array([[2.0]]), [["x"]]).described()["values"]
            [[1.0]]
        """
        values = np.asarray(self.values, np.float64)
        shape = (len(self.rows), len(self.columns))
        for table in (self.texts, self.hints, self.opens):
            given = [len(row) for row in table]
            if values.shape != shape or given not in ([shape[1]] * shape[0], []):
                raise ValueError(
                    f"grid {self.title!r} has {shape} names, but values {values.shape} and rows of "
                    f"{given} texts"
                )
        return {
            "view": self.view,
            "title": isolated(self.title),
            "note": self.note,
            "rows": list(map(_shown, self.rows)),
            "columns": list(map(_shown, self.columns)),
            "values": np.clip(values, -1, 1).round(4).tolist(),
            "texts": [list(map(_shown, row)) for row in self.texts],
            "hints": [[*row] for row in self.hints],
            "opens": [[*row] for row in self.opens],
        }


def _shown(text: str) -> str:
    return isolated(visible_token(text)) if text else ""
