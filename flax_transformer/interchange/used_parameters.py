"""Parameters of a published folder that its task has, and those that it has no use for."""

from collections.abc import Mapping
from typing import Any

import jax

from flax_transformer.interchange.published_runs import PublishedRun


def used_parameters(run: PublishedRun, params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters without those that `unused_modules` names."""
    unused = unused_modules(run)
    return {name: values for name, values in params.items() if name not in unused}


def unused_modules(run: PublishedRun) -> list[str]:
    """Returns the modules that a folder has but its task does not.

    A masked language model, for example, may be published with the pooler of a classifier.
    """
    if not any(rule.part for rule in run.model.rules):
        return []
    needed = jax.eval_shape(run.task.init, jax.random.key(0))["params"]
    return sorted({path.split("/")[0] for path in run.model.shapes} - needed.keys())
