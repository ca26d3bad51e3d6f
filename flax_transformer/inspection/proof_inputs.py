"""What a proof is about: a model in the form that is examined, and sequences drawn for it."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.errors import UserError
from flax_transformer.models.stacking import looped

ROWS = 4  # of padded sequences, images and videos
# Makes a function of (variables, rows) run on devices.
OnDevices = Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]


class Kind(NamedTuple):
    """What a kind of model is called with.

    Attributes:
        takes: what its config says that it reads and gives.
        sides: names of its inputs.
        segments: names of the arguments that say which places are tokens; empty if all are.
        is_causal: whether the output at a token must not depend on later tokens.
    """

    takes: tuple[str, str]
    sides: tuple[str, ...]
    segments: tuple[str, ...] = ()
    is_causal: bool = False


KINDS: tuple[Kind, ...] = (
    Kind(
        ("tokens", "target_tokens"),
        ("source", "target"),
        ("source_segments", "target_segments"),
        is_causal=True,
    ),
    Kind(("tokens", "next_tokens"), ("tokens",), ("segments",), is_causal=True),
    Kind(("tokens", "vectors"), ("tokens",), ("segments",)),
    Kind(("images", "classes"), ("images",)),
    Kind(("videos", "classes"), ("videos",)),
)


class Subject(NamedTuple):
    """A model in the form that is examined: float32, one layer after the other.

    Attributes:
        model: the module.
        variables: of the module.
        method: of the module, which computes the output.
        kind: what the method is called with.
        ways: name -> a way of using several devices.
    """

    model: Any
    variables: Mapping[str, Any]
    method: str | Callable[..., Any]
    kind: Kind
    ways: Mapping[str, OnDevices] = MappingProxyType({})

    @property
    def limit(self) -> int | None:
        """Largest number of tokens of a sequence; None without a limit."""
        limit = getattr(self.model.config, "position_limit", None)
        return limit and limit()


def make_subject(
    model: Any, variables: Mapping[str, Any], method: str | Callable[..., Any] = "__call__"
) -> Subject:
    """Brings a model into the form that is examined.

    Layers run in a loop, so that each has its number, and the computation is in float32: in 16 bits
    the rounding would hide differences. The weights stay as they are.

    Args:
        model: a module of one of `KINDS`.
        variables: of the module.
        method: of the module, which computes the output.

    Raises:
        UserError: if the model is of another kind.
    """
    config = model.config
    kind = next((kind for kind in KINDS if kind.takes == (config.reads, config.gives)), None)
    if kind is None:
        known = " or ".join("reads {} and gives {}".format(*kind.takes) for kind in KINDS)
        raise UserError(
            f"a model that reads {config.reads} and gives {config.gives} has no proofs: choose one "
            f"that {known}"
        )
    implementation = config.attention_implementation
    changes = {
        "dtype": "float32",
        "remat": "none",
        # cuDNN computes in 16 bits only.
        "attention_implementation": "auto" if implementation == "cudnn" else implementation,
    }
    model = model.clone(config=dataclasses.replace(config, **changes))
    return Subject(*looped(model, variables), method, kind)


class Inputs:
    """Inputs of a model, drawn at random; no id has a meaning for a model, so all ids are drawn.

    Args:
        subject: the model.
        length: of rows, in tokens; the pixels of images and videos have one size.
        seed: of the draws.
    """

    def __init__(self, subject: Subject, length: int, seed: int = 0):
        self.subject, self.length = subject, length
        self.rng = np.random.default_rng(seed)

    def tokens(self, *shape: int) -> np.ndarray:
        """Draws token ids."""
        return self.rng.integers(0, self.subject.model.vocab_size, shape, np.int32)

    def others(self, tokens: np.ndarray) -> np.ndarray:
        """Draws another token id for each one."""
        vocab_size = self.subject.model.vocab_size
        shift = self.rng.integers(1, max(vocab_size, 2), tokens.shape, np.int32)
        return (tokens + shift) % vocab_size

    def sequences(self, longer: int, shorter: int) -> dict[str, list[np.ndarray]]:
        """Draws two longer and two shorter sequences of each side.

        Where the target is long, the source is short, so that the mask of a wrong side is noticed.
        """
        lengths, sides = (longer, longer, shorter, shorter), self.subject.kind.sides
        by_side = [lengths] if len(sides) == 1 else [lengths[::-1], lengths]
        return {
            side: [self.tokens(length) for length in of_side]
            for side, of_side in zip(sides, by_side, strict=True)
        }

    def pixels(self) -> dict[str, np.ndarray]:
        """Draws four images or videos of the model's size."""
        config = self.subject.model.config
        frames = (config.num_frames,) if config.reads == "videos" else ()
        shape = (ROWS, *frames, *config.image_size, config.num_channels)
        return {self.subject.kind.sides[0]: self.rng.normal(size=shape).astype(np.float32)}
