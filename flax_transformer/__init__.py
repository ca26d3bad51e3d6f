"""A functional model zoo of the Transformer in JAX and Flax.

`load` reads a trained model; the parts are in the subpackages `functional`, `modules`, `models`,
`decoding`, `data`, `tasks`, `training` and `evaluation`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flax_transformer.experiment import Experiment
    from flax_transformer.tasks.translation.translator import Translator
    from flax_transformer.training.assemble import load

__all__ = ["Experiment", "Translator", "load"]

# Imported when first used: whoever wants one function of ours does not wait for data pipelines.
_HOMES = {
    "Experiment": "flax_transformer.experiment",
    "Translator": "flax_transformer.tasks.translation.translator",
    "load": "flax_transformer.training.assemble",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
