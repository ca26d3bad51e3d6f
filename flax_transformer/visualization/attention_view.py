"""A viewer of attention weights: one HTML page for notebooks and browsers."""

import dataclasses
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Float

from flax_transformer.errors import UserError, unknown
from flax_transformer.visualization.attention_page import make_page, round_weights
from flax_transformer.visualization.embedded_frames import embed_frames
from flax_transformer.visualization.given_arrays import check_picture, host_array
from flax_transformer.visualization.visible_text import isolated, visible_token
from flax_transformer.whole_files import check_target, written_whole

# The sides of the queries and of the keys of each part.
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
    tokens: Sequence[str | SupportsIndex],
    target_tokens: Sequence[str | SupportsIndex] | None = None,
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
    sides = {"source": tokens, "target": tokens if target_tokens is None else target_tokens}
    arrays = _arrays(weights, target_tokens is not None)
    picture = check_picture(image, video, patches, len(tokens))
    parts = [_describe(name, array, sides) for name, array in arrays.items()]
    header: dict[str, Any] = {
        "title": title,
        "tokens": {
            side: [isolated(visible_token(token)) for token in sides[side]] for side in sides
        },
        "parts": parts,
    }
    chunks = {}
    for part in parts:
        chunks |= _chunks(part["name"], arrays[part["name"]], part["rollout"])
    frames = []
    if picture is not None:
        described, pixels = picture
        frames, size = embed_frames(pixels)
        start = _start(parts, arrays, described["first"])
        header["picture"] = {**described, **size, "start": start}
    return AttentionView(make_page(title, header, chunks, frames), title)


def attention_rollout(
    weights: Float[np.ndarray, "layers heads length length"],
) -> Float[np.ndarray, "layers length length"]:
    """Multiplies the attention of successive layers, which sums over all paths through them.

    R_l = A_l R_(l-1),  R_0 = I,  A_l = (mean over heads of W_l) + I, each row divided by its sum

    The identity stands for the residual connection, with the same weight as attention.

    Args:
        weights: self-attention of one example, first layer first.

    Returns:
        The share of each input position for each layer: [layer, position, input position]; rows sum
        to 1.

    Example:
        >>> swap = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> attention_rollout(swap[None, None])[0].tolist()
        [[0.5, 0.5], [0.5, 0.5]]

    Reference:
        Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", section 3.
    """
    identity = np.eye(weights.shape[-1], dtype=weights.dtype)
    rolled, rolls = identity, []
    for mean in weights.mean(axis=1):
        passed = mean + identity
        rolled = passed / passed.sum(axis=-1, keepdims=True) @ rolled
        rolls.append(rolled)
    return np.stack(rolls)


def _arrays(weights: Any, has_target: bool) -> dict[str, np.ndarray]:
    """Returns the weights as a dictionary of parts."""
    names = [name for name in _SIDES if name != "attention"]
    if not isinstance(weights, Mapping):
        names = ["cross" if has_target else "attention"]
        weights = dict.fromkeys(names, weights)
    for name in weights:
        if name not in names:
            raise unknown("part of attention", str(name), names)
    if not weights:
        raise UserError(f"no weights to show: give an array, or a dictionary of {', '.join(names)}")
    if not has_target and {*weights} & {"decoder", "cross"}:
        raise UserError("weights of a decoder need its tokens: pass them as target_tokens")
    return {
        name: host_array(f"{name} weights", weights[name], np.float32)
        for name in names
        if name in weights
    }


def _describe(
    name: str, array: np.ndarray, sides: Mapping[str, Sequence[str | SupportsIndex]]
) -> dict[str, Any]:
    """Checks the weights of a part, and describes the part for the page."""
    queries, keys = _SIDES[name]
    if array.ndim != 4:
        remedy = "take one example of the batch" if array.ndim == 5 else "give such an array"
        raise UserError(
            f"{name} weights of shape {list(array.shape)} are not [layers, heads, queries, keys]: "
            f"{remedy}"
        )
    expected = (len(sides[queries]), len(sides[keys]))
    if array.shape[2:] != expected:
        raise UserError(
            f"{name} weights of shape {list(array.shape)} end in [{array.shape[2]}, "
            f"{array.shape[3]}], but there are {expected[0]} query and {expected[1]} key tokens: "
            "give one for each query and key"
        )
    if not array.size:
        raise UserError(f"{name} weights of shape {list(array.shape)} are empty: give others")
    # Rounding in bfloat16 or float32 may give weights slightly above 1.
    is_weight = (array >= 0) & (array <= 1.01)
    if not is_weight.all():
        place = tuple(map(int, np.argwhere(~is_weight)[0]))
        raise UserError(
            f"{name} weights hold {array[place]} at {list(place)}: weights lie between 0 and 1, "
            "so take the softmax of scores first"
        )
    layers, heads = array.shape[:2]
    return {
        "name": name,
        "queries": queries,
        "keys": keys,
        "layers": layers,
        "heads": heads,
        "rollout": queries == keys,
    }


def _start(
    parts: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], first: int
) -> int | None:
    """Returns the class token, with which the page starts; None if there is not one.

    The class token is the first token, before the patches. A page does not start with it if it does
    not attend to patches in the first layer.
    """
    name = parts[0]["name"]
    attends = first > 0 and bool(arrays[name][0, :, 0, first:].any())
    return 0 if attends and parts[0]["rollout"] and parts[0]["keys"] == "source" else None


def _chunks(name: str, array: np.ndarray, has_rollout: bool) -> dict[str, np.ndarray]:
    """Rounds the heads of each layer, followed by its rollout if the part has one."""
    array = np.minimum(array, 1)
    if has_rollout:
        # Rounding may give a sum slightly above 1.
        rolls = np.minimum(attention_rollout(array), 1)
        array = np.concatenate([array, rolls[:, None]], axis=1)
    return {f"{name}-{index}": round_weights(layer) for index, layer in enumerate(array)}
