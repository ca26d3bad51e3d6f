"""A viewer of attention weights: one HTML page for notebooks and browsers."""

import dataclasses
import html
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.errors import UserError
from flax_transformer.visualization.attention_page import make_page
from flax_transformer.visualization.embedded_frames import embed_frames
from flax_transformer.visualization.reading import Reading, Tokens
from flax_transformer.whole_files import check_target, written_whole

_FRAME = (
    '<iframe title="{title}" srcdoc="{page}" sandbox="allow-scripts allow-downloads" '
    'style="width:100%;height:46rem;border:0"></iframe>'
)


@dataclasses.dataclass(frozen=True)
class AttentionView:
    """A page that shows attention weights; a notebook displays it as the value of a cell.

    Attributes:
        page: the HTML document; it needs neither other files nor a network.
        title: the heading of the page.
    """

    # A notebook saves the repr with the page, so the repr does not repeat the page.
    page: str = dataclasses.field(repr=False)
    title: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page to a file, atomically.

        Args:
            path: of the HTML file.

        Returns:
            The path.

        Raises:
            UserError: if its folder does not exist or the path is not a file; see `check_target`.
        """
        path = Path(path)
        check_target(path, "page")
        with written_whole(path) as unfinished:
            unfinished.write_text(self.page, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        # A frame isolates the page's styles and scripts from the notebook's.
        return _FRAME.format(title=html.escape(self.title), page=html.escape(self.page))


def view_attention(
    weights: Any,
    tokens: Tokens,
    target_tokens: Tokens | None = None,
    *,
    image: Any = None,
    video: Any = None,
    patches: Sequence[int] | None = None,
    title: str = "Attention",
) -> AttentionView:
    """Makes a page that shows the attention of each token in every layer and head.

    The page draws lines between tokens, a grid of all layers and heads, the matrix with its values,
    and attention painted over an image or a video; for self-attention also the rollout over layers.
    Its weights are rounded with an error of at most 0.003, less for small ones (see
    `round_weights`).

    Args:
        weights: of one example [layers, heads, queries, keys], or a dictionary of such arrays with
            any of the keys "encoder", "decoder" and "cross". NumPy must be able to read the arrays.
        tokens: one string or id per key of the encoder and of cross-attention, or of the only
            array.
        target_tokens: one string or id per query of the decoder and of cross-attention. If weights
            are one array, target_tokens mark it as cross-attention.
        image: pixels [height, width, 3], integers up to 255 or fractions up to 1; its patches are
            the last of `tokens`, row by row. It may have more pixels than the input of the model,
            and is shrunk if it has too many for a page (see `embed_frames`).
        video: pixels [time, height, width, 3] instead of an image.
        patches: numbers of patches: (rows, columns) of an image, (times, rows, columns) of a video.
        title: the heading of the page.

    Returns:
        The page: a notebook displays it, and `save` writes it.

    Raises:
        UserError: if shapes and numbers of tokens do not fit, or a value is not a weight.

    Example:
        >>> view = view_attention(np.full((3, 2, 2, 2), 0.5), ["two", "words"])
        >>> view.page.startswith("<!doctype html>")
        True

    Reference:
        Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model" (lines between
        tokens, grid of heads); Abnar and Zuidema 2020 (rollout).
    """
    reading = Reading(
        weights=weights,
        tokens=tokens,
        target_tokens=target_tokens,
        image=image,
        video=video,
        patches=patches,
    )
    return view_readings([reading], title=title)


def view_readings(
    readings: Sequence[Reading], *, by: str = "model", title: str = "Attention"
) -> AttentionView:
    """Makes the page of `view_attention` for several readings, to choose from and to compare.

    The page has a slider, or a button for each of few readings, and shows two of them side by side.
    Layers and heads stay chosen; tokens too, if both readings have the same.

    Args:
        readings: with different names, such as one for each checkpoint of a training. Those with an
            image or a video must have the same one.
        by: what the names tell apart, such as "model" or "step".
        title: the heading of the page.

    Returns:
        The page. It begins with the first grid if the first reading has grids.

    Raises:
        UserError: if no reading is given, two have the same name, patches differ, or one has an
            error of `view_attention`.

    Example:
        >>> arrays = [np.full((3, 2, 2, 2), 0.5), np.full((3, 2, 2, 2), 0.25)]
        >>> readings = [
        ...     Reading(weights=array, tokens=["two", "words"], name=f"step {step}")
        ...     for step, array in enumerate(arrays)
        ... ]
        >>> view_readings(readings, by="step").page.startswith("<!doctype html>")
        True
    """
    names = [reading.name for reading in readings]
    if not names or len({*names}) < len(names):
        raise UserError(f"names of readings are {names}: give each reading its own name")
    header: dict[str, Any] = {"title": title, "by": by, "readings": []}
    chunks: dict[str, np.ndarray] = {}
    for index, reading in enumerate(readings):
        described, arrays = reading.described()
        header["readings"].append(described)
        chunks |= {f"{index}-{name}": array for name, array in arrays.items()}
    pictures = [reading.picture() for reading in readings]
    if len({picture and (picture[0]["patches"], picture[0]["first"]) for picture in pictures}) > 1:
        raise UserError("the readings have different patches: give readings of the same picture")
    frames: list[str] = []
    if pictures[0] is not None:
        described, pixels = pictures[0]
        frames, size = embed_frames(pixels)
        header["picture"] = {**described, **size}
    return AttentionView(make_page(title, header, chunks, frames), title)
