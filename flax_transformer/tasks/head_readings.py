"""What a model does with one input without each of its heads, for the viewer's page."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from flax_transformer.tasks.ablation import Ablation, Part
from flax_transformer.tasks.output_probability import output_log_prob
from flax_transformer.tasks.task import Task, Variables
from flax_transformer.visualization.grid import Grid
from flax_transformer.visualization.reading import Reading, check_page_size

WHOLE = "the whole model"
NOTE = (
    "Each cell shows how the log-probability of the whole model's output changes without one head "
    "or feed-forward network. Click a cell to see the model without it; click again for the whole "
    "model."
)


def read_without_heads(
    task: Task,
    variables: Variables,
    text: str,
    options: Mapping[str, Any],
    progress: Callable[[list[Part]], Iterable[Part]] = iter,
) -> list[Reading]:
    """Reads an input with a model, and without each of its heads and feed-forward networks.

    Args:
        task: with a model without `scan_layers` whose predictor has `attend`.
        variables: of its model.
        text: input of `attend`.
        options: further arguments of `attend`.
        progress: wraps the parts, to show how many are done.

    Returns:
        The reading of the whole model, then one for each part. The first has the grids of view
        "Ablation", in which a click on a cell opens the part's reading.

    Raises:
        UserError: if the page would hold more than 100 million weights, or `attend` fails.
    """
    ablation = Ablation(task, variables)
    predictor: Any = task.predictor(variables)
    inputs = predictor.given(text, options.get("target"))
    log_prob = output_log_prob(task, variables, inputs)
    measure = jax.jit(
        lambda variables: log_prob(task.model.apply(variables, **inputs, method=task.method))[0]
    )
    whole = Reading(**predictor.attend(text, **options), name=WHOLE)
    parts = ablation.parts()
    check_page_size("--ablate", whole.weights, 1 + len(parts))
    value = float(measure(ablation.variables_without(None)))
    readings, changes = [], {}
    for part in progress(parts):
        predictor.variables = ablation.variables_without(part)
        changes[part] = float(measure(predictor.variables)) - value
        shown = predictor.attend(text, **options)
        change = f"change of the log-probability of the whole model's output: {changes[part]:+.2f}"
        readings.append(Reading(**shown, name=f"without {part}", notes=[change]))
    titles = [reading.title for reading in readings]
    return [dataclasses.replace(whole, grids=_grids(changes, titles)), *readings]


def _grids(changes: Mapping[Part, float], titles: list[str]) -> list[Grid]:
    """Arranges the changes of each kind of part by layer and head, the last layer first."""
    most = max(map(abs, changes.values()), default=0.0) or 1.0
    title_of = dict(zip(changes, titles, strict=True))
    grids = []
    for kind in dict.fromkeys(part.kind for part in changes):
        layers: dict[int, list[Part]] = {}
        for part in changes:
            if part.kind == kind:
                layers.setdefault(part.layer, []).append(part)
        rows = [layers[layer] for layer in sorted(layers, reverse=True)]
        grids.append(
            Grid(
                kind.replace(".", " ").replace("_", "-"),
                [f"layer {row[0].layer}" for row in rows],
                ["whole" if part.head is None else f"head {part.head}" for part in rows[0]],
                np.array([[changes[part] / most for part in row] for row in rows]),
                [[f"{changes[part]:+.2f}" for part in row] for row in rows],
                [[f"without it: {title_of[part]}" for part in row] for row in rows],
                [[f"without {part}" for part in row] for row in rows],
                view="Ablation",
                note=NOTE,
            )
        )
    return grids
