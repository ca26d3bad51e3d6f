"""`flax-transformer list`."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from flax_transformer.console import explain, show_table
from flax_transformer.data.datasets.datasets import DATASETS
from flax_transformer.errors import check_options
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.models.table3 import PAPER_VOCAB_SIZE, table3
from flax_transformer.models.zoo import ZOO, count_parameters
from flax_transformer.presets import models_of, presets_of
from flax_transformer.tasks.tasks import TASKS
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS

# Only named: the command `table3` counts the other rows of Table 3.
VARIATIONS = [name for name, row in table3().items() if row.group in "ABCDE"]


@dataclasses.dataclass(frozen=True)
class List:
    """List tasks, models with their parameters, data sets, positional schemes and optimizers."""

    vocab_size: int = PAPER_VOCAB_SIZE
    """Vocabulary size for the parameter counts of the encoder-decoder; by default that of the
    paper's English-German model."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints the tables."""
        check_options(self, "vocab_size")
        listed = {
            "tasks": _tasks(),
            "presets": self._presets(),
            "models": _models(),
            "datasets": _datasets(),
            "positions": _described(SCHEMES),
            "optimizers": _described(OPTIMIZERS),
        }
        if self.json:
            others = {"vocab_size": self.vocab_size, "variations": VARIATIONS}
            print(json.dumps(others | listed, indent=2))
            return
        console = Console()
        titles = {
            "tasks": "tasks, each with the models that it trains",
            "presets": f"--preset of the encoder-decoder, counted with {self.vocab_size:,} tokens",
            "models": "--preset of published size",
            "datasets": "--data.dataset",
            "positions": "--model.positions",
            "optimizers": "--optimizer.name",
        }
        for part, title in titles.items():
            show_table(console, title, listed[part])
        explain(console, f"--preset, rows of the paper's Table 3: {', '.join(VARIATIONS)}")

    def _presets(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                # Stacked layers are traced only once.
                "parameters": count_parameters(
                    dataclasses.replace(config, scan_layers=True), self.vocab_size
                ),
                "layers": f"{config.num_encoder_layers}+{config.num_decoder_layers}",
                "d_model": config.d_model,
                "d_ff": config.d_ff,
                "heads": config.num_heads,
            }
            for name, config in presets_of(EncoderDecoderConfig()).items()
            # Published models have their own vocabularies, and counts.
            if name not in VARIATIONS and ZOO[name].parameters is None
        }


def _described(entries: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"description": entry.description} for name, entry in entries.items()}


def _tasks() -> dict[str, dict[str, Any]]:
    return {
        name: {
            "description": task.description,
            "models": ", ".join(model.__name__.removesuffix("Config") for model in models_of(task)),
            "command": task.command,
        }
        for name, task in TASKS.items()
    }


def _models() -> dict[str, dict[str, Any]]:
    return {
        name: {
            "model": type(entry.model).__name__,
            "parameters": entry.parameters,
            "layers": _layers(entry.config),
            "d_model": entry.config.d_model,
            "heads": entry.config.num_heads,
        }
        for name, entry in ZOO.items()
        if entry.parameters is not None
    }


def _layers(config: Any) -> str:
    if isinstance(config, EncoderDecoderConfig):
        return f"{config.num_encoder_layers}+{config.num_decoder_layers}"
    return str(getattr(config, "num_layers", ""))


def _datasets() -> dict[str, dict[str, Any]]:
    rows = {
        name: {"of": dataset.kind.replace("_", " "), "description": dataset.description}
        for name, dataset in DATASETS.items()
    }
    other = {
        "of": "pair, labeled text or image",
        "description": "any data set of TFDS of this kind, such as wmt14_translate/de-en",
    }
    return rows | {"NAME/CONFIG": other}
