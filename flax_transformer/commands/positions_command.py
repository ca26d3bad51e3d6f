"""`flax-transformer positions`."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from rich.console import Console

from flax_transformer.console import say, show_table
from flax_transformer.errors import check_options
from flax_transformer.evaluation.wishes import HEADINGS, check_wishes, step_values
from flax_transformer.functional.schemes import SCHEMES, checked_scheme
from flax_transformer.visualization.pictures import check_picture_path, save_picture
from flax_transformer.visualization.position_pictures import plot_positions


@dataclasses.dataclass(frozen=True)
class Positions:
    """Test each positional scheme for four properties, and draw it."""

    json: bool = False
    """Print the verdicts as JSON, each with the measured number that decided it."""
    out: Path = Path("positions.png")
    """Picture to write: every encoding and its dot products."""
    length: int = 64
    """Positions in the picture, in tokens."""
    d_model: int = 64
    """Width of the encodings in the picture."""

    def run(self) -> None:
        """Prints a table of schemes and properties, and draws the schemes."""
        check_options(self, "length", "d_model", lowest=2)
        check_picture_path(self.out, "--out")
        _check_schemes()
        wishes = {name: check_wishes(scheme) for name, scheme in SCHEMES.items()}
        if self.json:
            verdicts = {
                name: {wish: verdict._asdict() for wish, verdict in row.items()}
                for name, row in wishes.items()
            }
            print(json.dumps(verdicts, indent=2))
        else:
            rows = {
                name: {
                    HEADINGS[wish]: "yes" if verdict.met else f"no: {verdict.reason}"
                    for wish, verdict in row.items()
                }
                for name, row in wishes.items()
            }
            show_table(Console(), "--model.positions, and the properties of each", rows)
        save_picture(plot_positions(self.length, self.d_model), self.out)
        # Only JSON on standard output, so that a program can read it.
        say(Console(stderr=self.json), f"drawn in {self.out}")


def _check_schemes() -> None:
    """Rejects a scheme of wrong shapes before anything is measured, as nothing is computed here."""
    for name, scheme in SCHEMES.items():
        values = functools.partial(step_values, checked_scheme(name, scheme), length=3)
        jax.eval_shape(values, jnp.arange(3))
