"""A viewer of attention weights: one page to look at in a notebook or any browser."""

import dataclasses
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np

from flax_transformer.errors import UserError, unknown
from flax_transformer.visualization.attention_page import make_page, round_weights
from flax_transformer.visualization.host_array import host_array
from flax_transformer.visualization.isolation import isolated
from flax_transformer.visualization.pixel_maps import check_picture
from flax_transformer.visualization.rollout import attention_rollout
from flax_transformer.visualization.visible_tokens import visible_token
from flax_transformer.whole_files import check_folder, written_whole

# Of each part, where its queries and its keys stand.
_SIDES = {
    "attention": ("source", "source"),
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
    "cross": ("target", "source"),
}
_FRAME = (
    '<iframe title="{title}" srcdoc="{page}" sandbox="allow-scripts allow-downloads" '
    'style="width:100%;height:46rem;border:0"></iframe>'
)


@dataclasses.dataclass(frozen=True)
class AttentionView:
    """A page that shows attention weights; a notebook displays it where it is a cell's value.

    Attributes:
        page: the HTML document, which needs no other file and no network.
        title: what stands above it.
    """

    # A notebook keeps an object's name beside its page: not the page a second time.
    page: str = dataclasses.field(repr=False)
    title: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page; a reader sees the old file or the new one, never half of one.

        Args:
            path: of the file, which any browser opens.

        Returns:
            The path.

        Raises:
            UserError: if its folder does not exist.
        """
        path = Path(path)
        check_folder(path, "page")
        with written_whole(path) as unfinished:
            unfinished.write_text(self.page, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        # A frame keeps the page's style and the notebook's apart, and its scripts to itself.
        return _FRAME.format(title=html.escape(self.title), page=html.escape(self.page))


def view_attention(
    weights: Any,
    tokens: Sequence[str | SupportsIndex],
    target_tokens: Sequence[str | SupportsIndex] | None = None,
    *,
    image: Any = None,
    video: Any = None,
    patches: Sequence[int] | None = None,
    title: str = "Attention",
) -> AttentionView:
    """Makes a page that shows where each token looks, in every layer and head.

    The page draws lines between tokens, a grid of all layers and heads, the matrix with its values,
    and attention painted over an image or a video; for self-attention also its rollout over layers.
    Weights in it are rounded to within 0.003, small ones closer (see `round_weights`).

    Args:
        weights: of one example [layers, heads, queries, keys], or a dictionary of such arrays under
            any of "encoder", "decoder" and "cross"; of any library that NumPy can read.
        tokens: one string or id a key of the encoder and of cross-attention, or of the one array.
        target_tokens: one string or id a query of the decoder and of cross-attention; given with
            one array, that array is cross-attention.
        image: pixels [height, width, 3], whole numbers to 255 or fractions to 1; its patches are
            the last of `tokens`, row after row.
        video: pixels [time, height, width, 3] in place of an image.
        patches: (rows, columns) of an image's patches, (times, rows, columns) of a video's.
        title: stands above the page.

    Returns:
        The page: the value of a notebook's cell shows it, and `save` writes it.

    Raises:
        UserError: if shapes and numbers of tokens do not belong together, or a value is no weight.

    Example:
        >>> view = view_attention(np.full((3, 2, 2, 2), 0.5), ["two", "words"])
        >>> view.page.startswith("<!doctype html>")
        True

    Reference:
        Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model" (lines between
        tokens, grid of heads); Abnar and Zuidema 2020 (rollout).
    """
    sides = {"source": tokens, "target": tokens if target_tokens is None else target_tokens}
    arrays = _arrays(weights, target_tokens is not None)
    picture = check_picture(image, video, patches, len(tokens))
    header: dict[str, Any] = {
        "title": title,
        "tokens": {
            side: [isolated(visible_token(token)) for token in sides[side]] for side in sides
        },
        "parts": [_describe(name, array, sides) for name, array in arrays.items()],
    }
    chunks: dict[str, np.ndarray] = {}
    for part in header["parts"]:
        chunks |= _chunks(part, arrays[part["name"]])
    if picture is not None:
        header["picture"] = picture.header
        chunks["pixels"] = picture.pixels
    return AttentionView(make_page(title, header, chunks), title)


def _arrays(weights: Any, has_target: bool) -> dict[str, np.ndarray]:
    """Names the parts of what was given."""
    if not isinstance(weights, Mapping):
        name = "cross" if has_target else "attention"
        return {name: _numbers(name, weights)}
    names = [name for name in _SIDES if name != "attention"]
    for name in weights:
        if name not in names:
            raise unknown("part of attention", str(name), names)
    if not weights:
        raise UserError(f"no weights to show: give an array, or a dictionary of {', '.join(names)}")
    if not has_target and {*weights} - {"encoder"}:
        raise UserError("weights of a decoder need its tokens: pass them as target_tokens")
    return {name: _numbers(name, weights[name]) for name in names if name in weights}


def _numbers(name: str, array: Any) -> np.ndarray:
    values = host_array(f"{name} weights", array)
    try:
        return values.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} weights are not an array of numbers: {error}") from error


def _describe(
    name: str, array: np.ndarray, sides: Mapping[str, Sequence[str | SupportsIndex]]
) -> dict[str, str | int | bool]:
    """Says what the page must know of a part, whose weights it checks."""
    queries, keys = _SIDES[name]
    if array.ndim != 4:
        hint = ": take one example of the batch" if array.ndim == 5 else ""
        raise UserError(
            f"{name} weights of shape {list(array.shape)} are no [layers, heads, queries, keys]"
            f"{hint}"
        )
    expected = (len(sides[queries]), len(sides[keys]))
    if array.shape[2:] != expected:
        raise UserError(
            f"{name} weights of shape {list(array.shape)} end in [{array.shape[2]}, "
            f"{array.shape[3]}], but there are {expected[0]} query and {expected[1]} key tokens"
        )
    if not array.size:
        raise UserError(f"{name} weights of shape {list(array.shape)} are empty: nothing to show")
    _check_values(name, array)
    layers, heads = array.shape[:2]
    return {
        "name": name,
        "queries": queries,
        "keys": keys,
        "layers": layers,
        "heads": heads,
        "rollout": queries == keys,
    }


def _check_values(name: str, array: np.ndarray) -> None:
    # A computation in bfloat16 or float32 may round a weight of 1 to a little more.
    is_weight = (array >= 0) & (array <= 1.01)
    if not is_weight.all():
        place = tuple(map(int, np.argwhere(~is_weight)[0]))
        raise UserError(
            f"{name} weights hold {array[place]} at {list(place)}: weights lie between 0 and 1, "
            "so take the softmax of scores first"
        )


def _chunks(part: Mapping[str, Any], array: np.ndarray) -> dict[str, np.ndarray]:
    """Rounds each layer's heads, and after them its rollout if the part has one."""
    name, array = part["name"], np.minimum(array, 1)
    layers = list(map(round_weights, array))
    if part["rollout"]:
        # The last bit of a sum may lie above 1.
        rolls = np.minimum(attention_rollout(array), 1)
        layers = [
            np.concatenate([layer, round_weights(roll)[None]])
            for layer, roll in zip(layers, rolls, strict=True)
        ]
    return {f"{name}-{index}": layer for index, layer in enumerate(layers)}
