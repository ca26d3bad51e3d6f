"""`flax-transformer list`."""

import dataclasses
import json

from rich.console import Console

from flax_transformer.console import say, show_table
from flax_transformer.data.datasets import DATASETS
from flax_transformer.errors import check_number
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models.presets import PRESETS, count_parameters
from flax_transformer.models.table3 import PAPER_VOCAB_SIZE, TABLE3
from flax_transformer.training.update_rules import OPTIMIZERS

# Named, not counted: the other rows of Table 3 have a command of their own.
VARIATIONS = [name for name, row in TABLE3.items() if row.group in "ABCDE"]


@dataclasses.dataclass(frozen=True)
class List:
    """List presets with counted parameters, data sets, positional schemes and optimizers."""

    vocab_size: int = PAPER_VOCAB_SIZE
    """Tokens for which parameters are counted; the paper's English-German number by default."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints what can be chosen from."""
        check_number("vocab_size", self.vocab_size)
        presets = {
            name: {
                "parameters": count_parameters(config, self.vocab_size),
                "layers": f"{config.num_encoder_layers}+{config.num_decoder_layers}",
                "d_model": config.d_model,
                "d_ff": config.d_ff,
                "heads": config.num_heads,
            }
            for name, config in PRESETS.items()
            if name not in VARIATIONS
        }
        datasets = {name: dataset.description for name, dataset in DATASETS.items()}
        datasets["NAME/CONFIG"] = "any translation data set of TFDS, such as wmt14_translate/de-en"
        positions = {name: scheme.description for name, scheme in SCHEMES.items()}
        optimizers = {name: rule.description for name, rule in OPTIMIZERS.items()}
        if self.json:
            listed = {
                "presets": presets,
                "variations": VARIATIONS,
                "datasets": datasets,
                "positions": positions,
                "optimizers": optimizers,
            }
            print(json.dumps({"vocab_size": self.vocab_size} | listed, indent=2))
            return
        console = Console()
        show_table(console, f"--preset, counted with {self.vocab_size:,} tokens", presets)
        say(console, f"--preset, as flax-transformer table3 tells: {', '.join(VARIATIONS)}")
        for title, lines in {
            "--data.dataset": datasets,
            "--model.positions": positions,
            "--optimizer.name": optimizers,
        }.items():
            rows = {name: {"description": description} for name, description in lines.items()}
            show_table(console, title, rows)
