"""Picture of a beam search as a tree."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flax_transformer.visualization.pictures import COLORS, new_figure
from flax_transformer.visualization.visible_text import visible_token

# Inches between tokens, and between hypotheses.
_STEP, _ROW = 1.5, 0.36
_LOOKS = {
    "best hypothesis": {"color": COLORS[1], "linewidth": 3.0},
    "kept in the beam": {"color": COLORS[0], "linewidth": 1.5},
    "fell out of it": {"color": "0.75", "linewidth": 1.0},
}


def plot_search_tree(
    tokens: Sequence[str],
    parents: Sequence[int],
    log_probs: Sequence[float],
    scores: Sequence[float],
    is_kept: Sequence[bool],
    best: int,
) -> Figure:
    """Draws a recorded beam search from its prompt on the left to its hypotheses on the right.

    Each node shows a token and the log-probability of the hypothesis that ends there, in nats. A
    finished one also shows its score after an arrow: the log-probability over the length penalty.

    Args:
        tokens: the token of each node, as a string.
        parents: the earlier node that each node continues; -1 for the prompt.
        log_probs: of the hypotheses that end at the nodes, in nats.
        scores: of finished hypotheses, NaN for others.
        is_kept: False for hypotheses that fell out of the beam.
        best: the node at which the best hypothesis ends.

    Returns:
        The figure. All arguments except the strings are fields of
        `decoding.search_tree.SearchTree`.

    Raises:
        ValueError: without nodes, or if the numbers of nodes differ, or a parent or `best` is not
            an earlier node.

    Example:
        >>> figure = plot_search_tree(
        ...     ["a", "b", "</s>"], [-1, -1, 0], [-0.5, -1.5, -0.75], [np.nan, np.nan, -0.5],
        ...     [True, False, True], best=2,
        ... )
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['prompt', 'a  -0.50', 'b  -1.50', '</s>  -0.75 → -0.50']

    Reference:
        Wu et al. 2016, Google's Neural Machine Translation System, section 7.
    """
    _check(parents, best, len(tokens), len(log_probs), len(scores), len(is_kept))
    paths = _paths(parents)
    depths = [len(paths[node]) for node in range(len(parents))] + [0]
    heights = _heights(parents, paths)
    size = (_STEP * (max(depths) + 2), _ROW * (max(heights.values()) + 1) + 1.2)
    figure, (axes,) = new_figure(*size)
    _name(axes, 0, heights[-1], "prompt", {"color": "black"}, False)
    for node, parent in enumerate(parents):
        state = 0 if node in paths[best] else 1 if is_kept[node] else 2
        look = list(_LOOKS.values())[state]
        places = (depths[parent], depths[node]), (heights[parent], heights[node])
        # The best path is above the other paths, and all names are above all lines.
        axes.plot(*places, **look, zorder=2 - state / 4)
        score = "" if np.isnan(scores[node]) else f" → {scores[node]:.2f}"
        name = f"{visible_token(tokens[node])}  {log_probs[node]:.2f}{score}"
        _name(axes, depths[node], heights[node], name, look, state == 0)
    axes.invert_yaxis()
    axes.margins(x=0.6 / max(depths), y=0.06)
    label = "tokens generated; in each box the log-probability so far in nats, → score"
    axes.set(xticks=range(max(depths) + 1), yticks=[], xlabel=label)
    axes.spines[["left", "top", "right"]].set_visible(False)
    lines = [Line2D([], [], label=label, **look) for label, look in _LOOKS.items()]
    figure.legend(handles=lines, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _check(parents: Sequence[int], best: int, *lengths: int) -> None:
    if not parents or {*lengths} != {len(parents)}:
        raise ValueError(
            f"{len(parents)} parents need as many tokens, log_probs, scores and is_kept, and at "
            f"least one of each, not {', '.join(map(str, lengths))}"
        )
    for node, parent in enumerate(parents):
        if not -1 <= parent < node:
            raise ValueError(
                f"node {node} must continue an earlier one or the prompt, not {parent}"
            )
    if not 0 <= best < len(parents):
        raise ValueError(f"best {best} must be one of {len(parents)} nodes")


def _paths(parents: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The nodes from the first token to each node; none for the prompt, which is -1."""
    paths: dict[int, tuple[int, ...]] = {-1: ()}
    for node, parent in enumerate(parents):
        paths[node] = (*paths[parent], node)
    return paths


def _heights(parents: Sequence[int], paths: dict[int, tuple[int, ...]]) -> dict[int, float]:
    """Heights of the nodes: leaves are below each other, other nodes between their branches."""
    branches: dict[int, list[float]] = {parent: [] for parent in parents}
    leaves = sorted(path for node, path in paths.items() if node not in branches)
    heights = {path[-1]: float(height) for height, path in enumerate(leaves)}
    for node in reversed(paths):
        if node in branches:
            heights[node] = (min(branches[node]) + max(branches[node])) / 2
        if node >= 0:
            branches[parents[node]].append(heights[node])
    return heights


def _name(axes: Axes, depth: int, height: float, name: str, look: dict, is_best: bool) -> None:
    box = {"facecolor": "white", "edgecolor": look["color"], "boxstyle": "round,pad=0.25"}
    weight = "bold" if is_best else "normal"
    axes.text(
        depth, height, name, ha="center", va="center", fontsize="small", fontweight=weight, bbox=box
    )
