"""A page of grids: cells with a text and a color, such as layers over words."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flax_transformer.visualization.attention_view import AttentionView
from flax_transformer.visualization.visible_text import isolated, visible_token

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; background: #fff; color: #222; }}
h1 {{ font-size: 1.2rem; }}
h2 {{ font-size: 1rem; margin: 1.4rem 0 0.4rem; }}
p {{ max-width: 46rem; }}
.grid {{ overflow-x: auto; }}
table {{ border-collapse: separate; border-spacing: 2px; }}
th {{ font-weight: normal; text-align: right; padding: 0 0.5rem; white-space: nowrap; }}
thead th {{ text-align: center; }}
td {{ min-width: 2.4rem; padding: 0.2rem 0.4rem; text-align: center; white-space: nowrap;
  border-radius: 3px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
{grids}
</body>
</html>
"""
_HIGH, _LOW = (0, 114, 178), (213, 94, 0)  # blue for positive values, vermilion for negative ones


class Grid(NamedTuple):
    """Rows and columns of cells.

    Attributes:
        title: of the grid.
        rows: name of each row.
        columns: name of each column, such as a token.
        values: from -1 to 1, the color of each cell; others are clipped.
        texts: in each cell.
        hints: shown when the pointer rests on a cell; empty for none.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Float[np.ndarray, "rows columns"]
    texts: Sequence[Sequence[str]]
    hints: Sequence[Sequence[str]] = ()


def grid_page(title: str, note: str, grids: Sequence[Grid]) -> AttentionView:
    """Makes a page of grids, which needs neither other files nor scripts nor a network.

    Args:
        title: heading of the page.
        note: what the values are, in a sentence or two.
        grids: in order.

    Returns:
        The page: a notebook displays it, and `save` writes it.

    Raises:
        ValueError: if names, values and texts of a grid do not fit.

    Example:
        >>> grid = Grid("one", ["layer 0"], ["a", "b"], np.array([[0.5, -1.0]]), [["x", "y"]])
        >>> grid_page("Lens", "Values are probabilities.", [grid]).page.count("<td")
        2
    """
    body = "\n".join(map(_table, grids))
    page = _PAGE.format(title=html.escape(isolated(title)), note=html.escape(note), grids=body)
    return AttentionView(page, title)


def _table(grid: Grid) -> str:
    values = np.asarray(grid.values)
    shape = (len(grid.rows), len(grid.columns))
    if values.shape != shape or [len(row) for row in grid.texts] != [shape[1]] * shape[0]:
        raise ValueError(f"grid {grid.title!r} has {shape} names, but values {values.shape}")
    heads = "".join(f"<th scope=col>{_text(column)}</th>" for column in grid.columns)
    rows = []
    for index, name in enumerate(grid.rows):
        hints = grid.hints[index] if grid.hints else [""] * shape[1]
        cells = zip(values[index].tolist(), grid.texts[index], hints, strict=True)
        line = "".join(_cell(*cell) for cell in cells)
        rows.append(f"<tr><th scope=row>{_text(name)}</th>{line}</tr>")
    table = f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<h2>{_text(grid.title)}</h2><div class=grid>{table}</div>"


def _cell(value: float, text: str, hint: str) -> str:
    value = min(max(value, -1.0), 1.0)
    color = _HIGH if value >= 0 else _LOW
    mixed = [round(255 + (part - 255) * abs(value)) for part in color]
    ink = "#fff" if abs(value) > 0.55 else "#222"
    about = f' title="{html.escape(hint)}"' if hint else ""
    style = f"background:rgb({mixed[0]},{mixed[1]},{mixed[2]});color:{ink}"
    return f'<td style="{style}"{about}>{_text(text)}</td>'


def _text(text: str) -> str:
    return html.escape(isolated(visible_token(text))) if text else ""
