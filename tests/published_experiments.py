"""Small workdirs of the experiments whose models other systems can hold."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import jax
import numpy as np
from untrained import write_workdir

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.experiment import Experiment, load_experiment

FOLDER = Path(__file__).parents[1] / "experiments"
LAYERS = {"num_encoder_layers": 1, "num_decoder_layers": 2}
SIZES: dict[str, Any] = {"d_model": 28, "d_ff": 29, "num_heads": 2}
# The family that holds each, and what makes it small.
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "number_words": ("pegasus", SIZES | LAYERS),
    "multi30k_en_de": ("pegasus", SIZES | LAYERS),
    "shakespeare": ("gpt2", SIZES | {"num_layers": 2}),
    "masked_text": ("bert", SIZES | {"num_layers": 2}),
    "digits": ("vit", SIZES | {"num_layers": 2}),
}
MARKS = ["", "  two  spaces ", "a <pad> of </s> <s>", "déjà \u00fc \U0001f600", "tab\tend\n", "<>"]


def lines(number: int = 200) -> list[str]:
    """Texts of words and of marks that look like special tokens."""
    draw = random.Random(7)
    letters = "abcdefgh äß東,.'"
    made = ["".join(draw.choices(letters, k=draw.randrange(1, 23))) for _ in range(number)]
    return [*MARKS, *made][:number]


def small_experiment(name: str) -> Experiment:
    """An experiment of this repository with a small model."""
    experiment = load_experiment(FOLDER / f"{name}.py")
    model: Any = dataclasses.replace(experiment.model, **SMALL[name][1])
    return dataclasses.replace(experiment, model=model)


def write_run(folder: Path, name: str) -> Path:
    """Writes a workdir of an experiment with random parameters."""
    make = Tokenizer.of_characters if name == "shakespeare" else _subwords
    return write_workdir(folder, small_experiment(name), make(lines()), disturb)


def disturb(variables: Any) -> Any:
    """Changes every parameter, as a training does: biases, scales and class tokens too."""
    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda array: array + rng.normal(scale=0.2, size=array.shape).astype(array.dtype), variables
    )


def _subwords(texts: list[str]) -> Tokenizer:
    return Tokenizer.train(texts, 290)
