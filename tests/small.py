"""A training that takes seconds: twenty phrases, of which the German word order crosses."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig

TENS = {"twenty": "zwanzig", "thirty": "dreißig", "forty": "vierzig", "fifty": "fünfzig"}
UNITS = {"two": "zwei", "three": "drei", "four": "vier", "five": "fünf", "six": "sechs"}
PAIRS = [
    Pair(f"{tens} {unit}", f"{UNITS[unit]} und {TENS[tens]}")
    for tens, unit in itertools.product(TENS, UNITS)
]
SOURCES, TARGETS = [pair.source for pair in PAIRS], [pair.target for pair in PAIRS]
MODEL = EncoderDecoderConfig(
    num_encoder_layers=1,
    num_decoder_layers=1,
    d_model=32,
    d_ff=64,
    num_heads=2,
    residual_dropout_rate=0.0,
    norm_placement="pre",
)


def write_files(folder: Path) -> dict[str, Any]:
    """Writes the pairs as two files, and gives the data config's fields that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for side in ("source", "target"):
        path = folder / f"{side}.txt"
        path.write_text("".join(f"{getattr(pair, side)}\n" for pair in PAIRS), encoding="utf-8")
        paths |= {f"{split}_{side}": str(path) for split in ("train", "validation")}
    return paths


def make_experiment(folder: Path) -> Experiment:
    """An experiment on the pairs, with all its files in a folder."""
    return Experiment(
        data=ParallelTextConfig(
            dataset="text_files",
            data_dir=str(folder / "prepared"),
            vocab_size=307,
            max_length=24,
            tokens_per_batch=512,
            num_buckets=1,
            **write_files(folder),
        ),
        model=MODEL,
        optimizer=OptimizerConfig("constant", 0.01, 5, clip_norm=1.0),
        training=TrainingConfig(num_steps=100, keep_checkpoints=1, best_score="chrf"),
        decoding=DecodingConfig(max_extra_length=16),
    )


def with_fields(experiment: Experiment, part: str, **fields) -> Experiment:
    """An experiment with other fields of one of its parts."""
    return dataclasses.replace(
        experiment, **{part: dataclasses.replace(getattr(experiment, part), **fields)}
    )
