"""Fixed positions as tables: other systems hold, compute or learn what our schemes compute."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from flax_transformer.errors import UserError
from flax_transformer.functional.patches import grid_coordinates
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.rules import Rule
from flax_transformer.modules.token_embedding import PositionalEmbedding

LEARNED = "learned"
# Our key of config.json for the scheme of tables, which `save_pretrained` of transformers may drop.
SCHEME = "fixed_positions"
# Paths of our learned tables.
TABLES = ("positions", "source_positions", "target_positions", "image_encoder/positions")
# Largest difference of sines that two systems compute in float32, for a position of one.
ROUNDING, LEAST = 1e-7, 5e-4


class Prepared(NamedTuple):
    """A model in the form that a family may hold.

    Attributes:
        config: with the positions that the family has.
        ours: its parameters by their paths, with tables of fixed positions among them.
        rules: of tables that are not parameters of the module.
    """

    config: Any
    ours: Mapping[str, Any]
    rules: list[Rule]


def prepare_positions(family: Family, config: Any, ours: Mapping[str, Any]) -> Prepared:
    """Writes fixed positions as the table that a family learns, or that it reads from a folder.

    Args:
        family: the family.
        config: ours.
        ours: our parameters by their paths.

    Returns:
        The same model if its positions are not fixed, or if the family computes them.
    """
    name = config.embedded_positions()
    if name == family.computed_positions or not _is_fixed(config, name):
        return Prepared(config, ours, [])
    if family.fixed_tables:
        tables = [f"{path}/table" for path in TABLES[1:3]]
        rules = [Rule(*pair) for pair in zip(tables, family.fixed_tables, strict=True)]
        changed = dataclasses.replace(config, positions=family.computed_positions)
        table = _as_first(_table(config, name), ours)
        return Prepared(changed, {**ours, **dict.fromkeys(tables, table)}, rules)
    learned = dataclasses.replace(config, positions=LEARNED)
    known = {rule.ours for rule in family.rules(learned)}
    tables = [path for path in (f"{path}/table" for path in TABLES) if path in known]
    if not tables:
        return Prepared(config, ours, [])
    table = _as_first(_table(config, name), ours)
    return Prepared(learned, {**ours, **dict.fromkeys(tables, table)}, [])


def find_positions(
    family: Family, options: Mapping[str, Any], theirs: Mapping[str, Any], said: object = None
) -> str:
    """Names the scheme of the tables of a folder.

    Args:
        family: has `fixed_tables`.
        options: of our config, without the scheme.
        theirs: tensors of the folder; without a table, the positions are those that the family
            computes.
        said: the value of SCHEME.

    Raises:
        UserError: if a table is not that of any scheme, or if tables are missing.
    """
    found = {name: theirs[name] for name in family.fixed_tables if name in theirs}
    if not found and said not in (None, family.computed_positions):
        raise UserError(
            f"{' and '.join(family.fixed_tables)} are missing, as save_pretrained of transformers "
            f"leaves them out: copy them from the folder that was exported, or remove {SCHEME} "
            f"from config.json, which makes positions {family.computed_positions} as there"
        )
    config = family.config(**options)
    expected = (config.max_positions, config.d_model)
    schemes = [family.computed_positions, *SCHEMES]
    schemes = [name for name in dict.fromkeys(schemes) if _is_fixed(config, name)]
    for name, table in found.items():
        if table.shape != expected:
            raise UserError(f"{name} has the shape {table.shape} instead of {expected}")
        schemes = [scheme for scheme in schemes if _is_near(table, _table(config, scheme))]
        if not schemes:
            raise UserError(
                f"{name} is not a table of fixed positions that is known here: only models that "
                "were trained with fixed positions are read"
            )
    return schemes[0]


def _is_fixed(config: Any, name: str) -> bool:
    """Whether a scheme adds the same encoding to a position in every input of a model."""
    scheme = SCHEMES[name]
    if scheme.encode is None or scheme.has_table:
        return False
    if config.reads == "images":
        return True
    positions = jnp.arange(2)
    encodings = [
        scheme.encode(positions, jnp.full(2, length), config.d_model, None) for length in (5, 97)
    ]
    return bool(jnp.array_equal(encodings[0], encodings[1]))


def _table(config: Any, name: str) -> np.ndarray:
    """Computes the encodings of all positions by the module that adds them to embeddings."""
    coordinates, rows = None, getattr(config, "max_positions", 0)
    if config.reads == "images":
        grid = config.grid()
        coordinates = grid_coordinates(jnp.zeros((grid[0] * grid[1], 1)), grid)
        rows = len(coordinates) + (config.pooling == "class_token")
    nothing, positions = jnp.zeros((1, rows, config.d_model)), jnp.arange(rows)[None]
    module = PositionalEmbedding(name, rows)
    lengths = jnp.full_like(positions, rows)
    return np.asarray(module.apply({}, nothing, positions, lengths, coordinates))[0]


def _as_first(table: np.ndarray, ours: Mapping[str, Any]) -> np.ndarray:
    """Gives a table the type of the parameters."""
    return table.astype(next(iter(ours.values())).dtype)


def _is_near(table: np.ndarray, expected: np.ndarray) -> bool:
    tolerance = max(LEAST, ROUNDING * len(table), float(jnp.finfo(table.dtype).eps))
    return bool(np.all(np.abs(table.astype(np.float32) - expected) <= tolerance))
