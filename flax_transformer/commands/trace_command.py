"""`flax-transformer trace`."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array
from rich.console import Console
from tyro.conf import Positional

from flax_transformer.commands.inspected_model import InspectedModel
from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import UserError
from flax_transformer.inspection.picture_attention import patch_names
from flax_transformer.models import VideoConfig, VisionConfig
from flax_transformer.tasks.lens_reading import task_tokenizer
from flax_transformer.tasks.output_probability import output_log_prob
from flax_transformer.tasks.tracing import Trace, trace
from flax_transformer.visualization.attention_view import view_readings
from flax_transformer.visualization.grid import Grid
from flax_transformer.visualization.reading import Reading
from flax_transformer.whole_files import check_target

NOTE = (
    "Each cell is one activation of the clean input in the pass of the corrupted input. 1: it "
    "makes the output as probable as for the clean input. 0: it changes nothing. Negative: it "
    "makes the output less probable."
)

SMALL_DIFFERENCE = 0.1  # nats


@dataclasses.dataclass(frozen=True, kw_only=True)
class TraceInputs(OfWorkdir):
    """Show which layers, positions and heads carry the difference between two inputs.

    Activations of the clean input are carried one by one into the pass of the corrupted input. The
    measure is the log-probability of the clean input's output. Both inputs need the same number of
    tokens.
    """

    text: Positional[str]
    """Clean input: a text, or the file of an image or a video."""
    corrupt: str
    """Corrupted input, such as the same sentence with one other word."""
    target: str | None = None
    """For a translator: the output to measure; by default its own for the clean input."""
    out: Path = Path("trace.html")
    """HTML page to write."""
    json: bool = False
    """Print JSON; the page is written too."""

    def run(self) -> None:
        """Writes the page, and prints what carries most."""
        check_target(self.out, "page", "--out")
        opened = InspectedModel.open(self.workdir, self.weights)
        opened.check_logits()
        predictor: Any = opened.task.predictor(opened.variables)
        clean = predictor.given(self.text, self.target)
        corrupted = self._corrupted(predictor, clean)
        log_prob = output_log_prob(opened.task, opened.variables, clean)
        found = trace(opened.task, opened.variables, clean, corrupted, log_prob)
        if abs(found.clean - found.corrupted) < 1e-4:
            raise UserError(
                f"the output is as probable for --corrupt {self.corrupt!r:.40} as for the clean "
                "input: give another one"
            )
        grids = _grids(found, _names(opened.task, clean))
        options = {} if self.target is None else {"target": self.target}
        reading = Reading(**predictor.attend(self.text, **options), grids=grids)
        page = view_readings([reading], title=f"{self.text} | {self.corrupt}").save(self.out)
        if self.json:
            shares = {name: array.tolist() for name, array in found.shares.items()}
            print(json.dumps(found._replace(shares=shares)._asdict(), indent=2))
            return
        console = Console()
        say(console, f"log-probability {found.clean:.3f} clean, {found.corrupted:.3f} corrupted")
        if caution := _caution(found):
            say(console, caution)
        for name, array in found.shares.items():
            layer, place = np.unravel_index(np.argmax(array), array.shape)
            what = "head" if "attention" in name else "position"
            say(console, f"{name}: most in layer {layer} {what} {place}, {array.max():.2f}")
        say(console, f"shown in {page}: open it in a browser")

    def _corrupted(self, predictor: Any, clean: Mapping[str, Array]) -> dict[str, Array]:
        """The corrupted input; a translator reads the clean input's output after it."""
        is_pair = "target" in clean
        # Any target does: it is replaced.
        corrupted = predictor.given(self.corrupt, *(["x"] if is_pair else []))
        if is_pair:
            corrupted |= {name: x for name, x in clean.items() if name.startswith("target")}
        for name, value in clean.items():
            if corrupted[name].shape != value.shape:
                raise UserError(
                    f"--corrupt has {corrupted[name].shape[1]} tokens, but the clean input "
                    f"{value.shape[1]}: give a text with the same number"
                )
        return corrupted


def _caution(found: Trace) -> str:
    """Says how shares of a small or negative difference are read; "" for others."""
    difference = found.clean - found.corrupted
    if difference < 0:
        return "the corrupted input makes the output more probable: a share of 1 makes it less so"
    if difference < SMALL_DIFFERENCE:
        return f"the difference of {difference:.3f} nats is small: shares may be noise"
    return ""


def _names(task: Any, clean: Mapping[str, Array]) -> dict[str, list[str]]:
    """The tokens or patches at the positions of each stack of layers."""
    config, names = task.model.config, {}
    if isinstance(config, VisionConfig | VideoConfig):
        return patch_names(config)
    for side, stack in (("source", "encoder"), ("target", "decoder")):
        if side in clean:
            tokenizer = task.tokenizer if side == "source" else task_tokenizer(task)
            names[stack] = tokenizer.names(np.asarray(clean[side])[0].tolist())
    if "tokens" in clean:
        of_text = task.tokenizer.names(np.asarray(clean["tokens"])[0].tolist())
        names = {"encoder": of_text, "decoder": of_text}
    return names


def _grids(found: Trace, names: Mapping[str, list[str]]) -> list[Grid]:
    grids = []
    for name, array in found.shares.items():
        columns = names.get(name) or [str(place) for place in range(array.shape[1])]
        words = name.replace(".", " ").replace("_", "-")
        title = f"{words}, by layer and {'head' if 'attention' in name else 'position'}"
        layers = [f"layer {layer}" for layer in reversed(range(len(array)))]
        values = array[::-1]
        # Adding zero removes the sign of -0.00.
        texts = [[f"{round(value, 2) + 0.0:.2f}" for value in row] for row in values.tolist()]
        grids.append(Grid(title, layers, columns, values, texts, view="Trace", note=NOTE))
    return grids
