"""Small published folders, made of our own models with random parameters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict
from published_cases import CASES

from flax_transformer.interchange import FAMILIES, export_folder
from flax_transformer.interchange.config_fields import read_fields
from flax_transformer.interchange.model_parameters import shapes_of

PARTS = {"MaskedLM": ["tokens"], "SequenceClassification": ["pool", "classes"]}


def our_config(name: str) -> Any:
    """Our config of a case."""
    family = FAMILIES[name.split()[0]]
    # As JSON holds them.
    settings = json.loads(json.dumps(CASES[name].settings))
    return family.config(**read_fields(family.fields, settings, family.config))


def draw_variables(name: str, dtype: str = "float32") -> Any:
    """Random parameters of a case."""
    rng, architecture = np.random.default_rng(0), CASES[name].architecture
    (parts,) = [[]] if "For" not in architecture else [PARTS.get(architecture.split("For")[1], [])]
    settings = CASES[name].settings
    shapes = shapes_of(
        our_config(name), settings.get("vocab_size", 0), settings.get("num_labels", 2), parts
    )
    flat = {path: rng.normal(size=shape).astype(dtype) for path, shape in shapes.items()}
    return {"params": unflatten_dict(flat, sep="/")}


def write_folder(name: str, folder: Path) -> Path:
    """Exports a case."""
    export_folder(our_config(name), draw_variables(name), folder, family=name.split()[0])
    return folder
