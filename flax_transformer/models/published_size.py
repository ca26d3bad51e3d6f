"""A model of a named size, with its published number of parameters."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Published(NamedTuple):
    """A model of a named size.

    Attributes:
        model: the module.
        inputs: shapes and types of the published inputs, for one example.
        outputs: shape of the outputs for these inputs.
        parameters: published count, exact or in tenths of a million as published; None if not
            published, and for the rows of Table 3, which have their own counts.
        source: source of the published count.
        method: method that computes these outputs; its parameters are counted.
    """

    model: nn.Module
    inputs: tuple[jax.ShapeDtypeStruct, ...]
    outputs: tuple[int, ...]
    parameters: int | None
    source: str
    method: str = "__call__"

    @property
    def config(self) -> Any:
        """Sizes and options of the model."""
        return vars(self.model)["config"]


def text_of(length: int) -> jax.ShapeDtypeStruct:
    """Returns the shape and type of one text of tokens.

    Example:
        >>> text_of(3).shape
        (1, 3)
    """
    return jax.ShapeDtypeStruct((1, length), jnp.int32)
