"""`flax-transformer lens`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from tyro.conf import Positional

from flax_transformer.commands.inspected_model import InspectedModel
from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import check_options
from flax_transformer.tasks.lens_reading import LensReading, read_lens
from flax_transformer.visualization.attention_view import view_readings
from flax_transformer.visualization.grid import Grid
from flax_transformer.visualization.reading import Reading
from flax_transformer.whole_files import check_target

NOTE = (
    "Each cell shows the most probable prediction if the layer were the last one. Its color is the "
    "probability of what the last layer predicts. Point at a cell, or tap it, for more predictions."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lens(OfWorkdir):
    """Show what a model would predict after each of its layers: one HTML page (logit lens)."""

    text: Positional[str]
    """Text to translate, to read or to classify; file of the image or video to classify."""
    target: str | None = None
    """Translation to show; by default the model's own."""
    top: int = 5
    """Number of predictions of each cell."""
    out: Path = Path("lens.html")
    """HTML page to write."""
    json: bool = False
    """Print JSON; the page is written too."""

    def run(self) -> None:
        """Writes the page, and prints its path."""
        check_target(self.out, "page", "--out")
        check_options(self, "top")
        opened = InspectedModel.open(self.workdir, self.weights)
        opened.check_logits()
        predictor: Any = opened.task.predictor(opened.variables)
        inputs = predictor.given(self.text, self.target)
        reading = read_lens(opened.task, opened.variables, inputs, self.top)
        options = {} if self.target is None else {"target": self.target}
        shown = Reading(**predictor.attend(self.text, **options), grids=[lens_grid(reading)])
        page = view_readings([shown], title=f"Lens: {self.text}").save(self.out)
        if self.json:
            print(json.dumps(_record(reading), ensure_ascii=False, indent=2))
            return
        for layer, guesses in enumerate(reading.guesses):
            names = " ".join(cell[0].name for cell in guesses)
            say(Console(), f"after layer {layer}: {names}")
        say(Console(), f"shown in {page}: open it in a browser")


def lens_grid(reading: LensReading) -> Grid:
    """Arranges the predictions after each layer, the last layer first."""
    last = [cell[0].name for cell in reading.guesses[-1]]
    layers = list(reversed(reading.guesses))
    values = [
        [
            next((guess.probability for guess in cell if guess.name == name), 0.0)
            for cell, name in zip(layer, last, strict=True)
        ]
        for layer in layers
    ]
    return Grid(
        "predictions after each layer",
        [f"layer {index}" for index in reversed(range(len(layers)))],
        reading.tokens,
        np.array(values),
        [[cell[0].name for cell in layer] for layer in layers],
        [
            ["\n".join(f"{guess.name} {guess.probability:.3f}" for guess in cell) for cell in layer]
            for layer in layers
        ],
        view="Lens",
        note=NOTE,
    )


def _record(reading: LensReading) -> dict[str, Any]:
    return {
        "tokens": reading.tokens,
        "layers": [
            [[guess._asdict() for guess in cell] for cell in layer] for layer in reading.guesses
        ],
    }
