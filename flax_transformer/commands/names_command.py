"""`flax-transformer names`."""

import dataclasses
import json

from rich.console import Console

from flax_transformer.commands.inspected_model import InspectedModel
from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say, show_table
from flax_transformer.inspection.activations import activation_shapes
from flax_transformer.inspection.names import axes_of, matching


@dataclasses.dataclass(frozen=True, kw_only=True)
class Names(OfWorkdir):
    """List the names of a model's activations, for `ft.inspection`, with axes and shapes.

    Shapes are those of one example of the smallest size.
    """

    match: str = "*"
    """Pattern of the names to list, such as 'decoder.3.*'."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints a line for each activation."""
        opened = InspectedModel.open(self.workdir, self.weights)
        task = opened.task
        shapes = activation_shapes(task.model, opened.variables, task.given(), method=task.method)
        rows = {}
        for name in matching(self.match, shapes):
            shape = shapes[name].shape
            sizes = zip(axes_of(name, len(shape)), shape, strict=True)
            rows[name] = {"axes": dict(sizes), "type": str(shapes[name].dtype)}
        if self.json:
            print(json.dumps(rows, indent=2))
            return
        console = Console()
        shown = {
            name: {
                "axes": ", ".join(f"{axis} {size}" for axis, size in row["axes"].items()),
                "type": row["type"],
            }
            for name, row in rows.items()
        }
        show_table(console, f"activations of {self.workdir}", shown)
        say(console, "in Python: ft.inspection.activations(model, variables, inputs, NAMES)")
