"""Arrays of any library, read as NumPy's."""

from typing import Any

import numpy as np
from jax.core import Tracer

from flax_transformer.errors import UserError


def host_array(name: str, array: Any) -> np.ndarray:
    """Reads an array, or a sequence of arrays, into the host's memory.

    Args:
        name: of the array, for the error message.
        array: of any library that NumPy can read.

    Raises:
        UserError: if NumPy cannot read it, with what to give instead.
    """
    if isinstance(array, Tracer):
        raise UserError(f"{name} have no values inside jit or grad: return them, then show them")
    if getattr(array, "requires_grad", False):
        raise UserError(f"{name} need a gradient, so NumPy cannot read them: call .detach() first")
    try:
        return np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name} are not an array of numbers: {reason}") from error
