"""Measures where the time of a training step goes, by leaving out one part after the other.

    python experiments/benchmarks/where_time_goes.py --size W1

A part's share is the time that the step saves without it: no dropout; a vocabulary of 64 tokens,
which leaves out most of the logits, their loss and the embeddings' update; feed-forward networks of
8 hidden units; one layer instead of several, scaled up to all layers. The forward pass and the
update are timed separately. These parts overlap, so their shares do not add up to one. Takes about
two minutes on two CPU cores.

On two cores of an AMD EPYC in float32, for W1 (492 ms) and W2 (607 ms):

    part                              W1        W2
    layers                          58 %      76 %
    vocabulary                      39 %      24 %
    forward pass                    36 %      32 %
    feed-forward networks           16 %      37 %
    dropout                          3 %       1 %
    dropout of attention weights     2 %       0 %
    update                           1 %       2 %

At the speed of a large matrix product, the operations of the models would take 74 and 84 % of these
times; see train_step.py.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from circumstances import circumstances, describe, tell
from contenders import model_config
from peers.size import SIZES
from rich.console import Console
from timing import Spread, time_in_turns
from work import parameter_update, training_loss, training_step

from flax_transformer.cli import execute
from flax_transformer.console import say, show_table
from flax_transformer.errors import check_options, unknown
from flax_transformer.modules.layer_options import ComputeType

STEP, FORWARD, UPDATE, LAYERS = "the whole step", "forward pass", "update", "layers"
# The fields of the model that leave a part out; the vocabulary is not among the fields.
WITHOUT: dict[str, dict[str, Any]] = {
    "dropout": {
        "residual_dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
        "feed_forward_dropout_rate": 0.0,
    },
    "dropout of attention weights": {"attention_dropout_rate": 0.0},
    "vocabulary": {"vocab_size": 64},
    "feed-forward networks": {"d_ff": 8},
    LAYERS: {"num_encoder_layers": 1, "num_decoder_layers": 1},
}


@dataclasses.dataclass(frozen=True)
class WhereTimeGoes:
    """Time a training step without each of its parts."""

    size: str = "W1"
    """A size of train_step.py."""
    dtype: ComputeType = "float32"
    """Type of the computation."""
    num_repeats: int = 20
    """Timed steps of each kind."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        """Rejects options that cannot be measured."""
        if self.size not in SIZES:
            raise unknown("--size", self.size, SIZES)
        check_options(self, "num_repeats")

    def programs(self) -> dict[str, Callable[[], Any]]:
        """Compiles the step, the step without each part, and the parts that can run separately."""
        size = SIZES[self.size]
        config = model_config(size, self.dtype)
        batch = size.num_pairs, size.length
        programs = {STEP: training_step(config, size.vocab_size, *batch).run}
        for part, fields in WITHOUT.items():
            tell(f"compiling the step without {part}")
            model = {name: value for name, value in fields.items() if name != "vocab_size"}
            vocab_size = fields.get("vocab_size", size.vocab_size)
            changed = dataclasses.replace(config, **model)
            programs[part] = training_step(changed, vocab_size, *batch).run
        programs[FORWARD] = training_loss(config, size.vocab_size, *batch)
        programs[UPDATE] = parameter_update(config, size.vocab_size)
        return programs

    def run(self) -> None:
        """Measures and prints."""
        times = time_in_turns(self.programs(), self.num_repeats, tell)
        seconds = part_seconds(times, SIZES[self.size].num_layers)
        whole = times[STEP]
        if self.json:
            print(json.dumps(as_json(seconds, whole, self), indent=2))
            return
        console = Console()
        say(console, describe())
        title = (
            f"parts of a training step of {self.size}, {self.dtype}, {whole.median * 1e3:,.1f} ms"
        )
        rows = {
            part: {"ms": f"{part_s * 1e3:,.1f}", "share": f"{part_s / whole.median:.1%}"}
            for part, part_s in seconds.items()
        }
        show_table(console, title, rows)
        say(console, "parts overlap: their shares do not add up to one")


def part_seconds(times: dict[str, Spread], num_layers: int) -> dict[str, float]:
    """The time of each part: saved by the step without it, or measured separately."""
    whole = times[STEP].median
    seconds = {part: whole - times[part].median for part in WITHOUT}
    if num_layers > 1:
        seconds[LAYERS] *= num_layers / (num_layers - 1)
    else:
        del seconds[LAYERS]
    return seconds | {part: times[part].median for part in (FORWARD, UPDATE)}


def as_json(seconds: dict[str, float], whole: Spread, options: WhereTimeGoes) -> dict[str, Any]:
    """Returns all measurements as plain data, with a description of the machine."""
    return {
        "command": sys.argv,
        "environment": circumstances(),
        "options": dataclasses.asdict(options),
        "size": SIZES[options.size]._asdict(),
        "step_seconds": whole._asdict(),
        "parts": [
            {"part": part, "seconds": part_s, "share": part_s / whole.median}
            for part, part_s in seconds.items()
        ],
    }


if __name__ == "__main__":
    execute(WhereTimeGoes, sys.argv[1:])
