"""What a model does with one input, as the viewer's page shows it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np

from flax_transformer.errors import UserError, unknown
from flax_transformer.visualization.attention_page import round_weights
from flax_transformer.visualization.attention_rollout import attention_rollout
from flax_transformer.visualization.given_arrays import check_picture, host_array
from flax_transformer.visualization.grid import Grid
from flax_transformer.visualization.visible_text import isolated, visible_token

Tokens: TypeAlias = Sequence[str | SupportsIndex]
LARGEST_PAGE = 100_000_000  # weights
# The sides of the queries and of the keys of each part.
_SIDES = {
    "attention": ("source", "source"),
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
    "cross": ("target", "source"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What a model does with one input: its attention, and further views of it.

    A predictor's `attend` returns the first seven: `Reading(**predictor.attend(text), name=...)`.

    Attributes:
        weights: see `view_attention`; the same holds for the next five.
        tokens: of the keys of the encoder.
        target_tokens: of the queries of the decoder.
        image: whose patches are tokens.
        video: instead of an image.
        patches: their numbers.
        title: such as the input and the output.
        name: by which the page chooses the reading, such as "step 200".
        notes: lines of text below the drawing, such as scores.
        grids: further views, each named by `Grid.view`.
    """

    weights: Any
    tokens: Tokens
    target_tokens: Tokens | None = None
    image: Any = None
    video: Any = None
    patches: Sequence[int] | None = None
    title: str = ""
    name: str = ""
    notes: Sequence[str] = ()
    grids: Sequence[Grid] = ()

    def described(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Describes the reading for the page.

        Returns:
            What the scripts read as JSON, and the rounded weights of each layer by the name of the
            part and the number of the layer.

        Raises:
            UserError: if shapes and numbers of tokens do not fit, or a value is not a weight.
        """
        target = self.tokens if self.target_tokens is None else self.target_tokens
        sides = {"source": self.tokens, "target": target}
        arrays = _arrays(self.weights, self.target_tokens is not None)
        parts = [_describe(name, array, sides) for name, array in arrays.items()]
        header = {
            "name": isolated(self.name),
            "title": isolated(self.title),
            "notes": [isolated(note) for note in self.notes],
            "tokens": {
                side: [isolated(visible_token(token)) for token in sides[side]] for side in sides
            },
            "parts": parts,
            "grids": [grid.described() for grid in self.grids],
        }
        chunks = {}
        for part in parts:
            chunks |= _chunks(part["name"], arrays[part["name"]], part["rollout"])
        return header, chunks

    def picture(self) -> tuple[dict[str, Any], np.ndarray] | None:
        """Describes the image or video, and returns its pixels; None without one.

        Raises:
            UserError: see `check_picture`.
        """
        found = check_picture(self.image, self.video, self.patches, len(self.tokens))
        if found is None:
            return None
        described, pixels = found
        arrays = _arrays(self.weights, self.target_tokens is not None)
        return {**described, "start": _start(arrays, described["first"])}, pixels


def check_page_size(writer: str, weights: Any, num_readings: int) -> None:
    """Rejects a page with too many weights before the other readings are computed.

    Args:
        writer: what writes the page, for the message.
        weights: of one reading.
        num_readings: number of such readings.

    Raises:
        UserError: if the page would hold more than 100 million weights.
    """
    arrays = weights.values() if isinstance(weights, Mapping) else [weights]
    size = num_readings * sum(np.size(array) for array in arrays)
    if size > LARGEST_PAGE:
        raise UserError(
            f"{writer} would write {size:,} attention weights, but a page has at most "
            f"{LARGEST_PAGE:,}: give a shorter text"
        )


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


def _describe(name: str, array: np.ndarray, sides: Mapping[str, Tokens]) -> dict[str, Any]:
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


def _start(arrays: Mapping[str, np.ndarray], first: int) -> int | None:
    """Returns the class token, with which the page starts; None if there is not one.

    The class token is the first token, before the patches. A page does not start with it if it does
    not attend to patches in the first layer.
    """
    name, array = next(iter(arrays.items()))
    is_encoder = _SIDES[name] == ("source", "source")
    return 0 if is_encoder and first > 0 and array[0, :, 0, first:].any() else None


def _chunks(name: str, array: np.ndarray, has_rollout: bool) -> dict[str, np.ndarray]:
    """Rounds the heads of each layer, followed by its rollout if the part has one."""
    array = np.minimum(array, 1)
    if has_rollout:
        # Rounding may give a sum slightly above 1.
        rolls = np.minimum(attention_rollout(array), 1)
        array = np.concatenate([array, rolls[:, None]], axis=1)
    return {f"{name}-{index}": round_weights(layer) for index, layer in enumerate(array)}
