"""The family that can hold one of our models, and what it writes."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.errors import UserError, unknown_part
from flax_transformer.interchange.config_fields import NoPlaceError, write_fields
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.model_parameters import shapes_of
from flax_transformer.interchange.position_tables import SCHEME, prepare_positions
from flax_transformer.interchange.rules import Rule, affine


class Fitting(NamedTuple):
    """A family that can hold a model.

    Attributes:
        name: of the family.
        settings: its config for the model.
        rules: of the tensors.
        ours: our parameters by their paths, with zeros for biases that only the family has, and
            with tables of fixed positions.
    """

    name: str
    settings: dict[str, Any]
    rules: list[Rule]
    ours: dict[str, Any]


def find_family(config: Any, ours: Mapping[str, Any], name: str | None = None) -> Fitting:
    """Finds the family that holds a model.

    Args:
        config: ours.
        ours: our parameters by their paths, without scan_layers.
        name: a name in `FAMILIES`; None: the first one that can hold the model.

    Raises:
        UserError: says what the nearest family lacks.
    """
    if name is not None and name not in FAMILIES:
        raise unknown_part("--family", name, FAMILIES)
    candidates = FAMILIES if name is None else {name: FAMILIES[name]}
    same = {name: family for name, family in candidates.items() if family.config is type(config)}
    if not same:
        fits = [other for other, family in FAMILIES.items() if family.config is type(config)]
        if name is not None and fits:
            way = f"give one of {', '.join(fits)}, or leave it out"
            raise UserError(f"--family {name} cannot hold this kind of model: {way}")
        raise UserError(f"no family holds this kind of model; known: {', '.join(FAMILIES)}")
    lacking: dict[str, tuple[str, ...]] = {}
    for candidate, family in same.items():
        try:
            return fit(candidate, family, config, ours)
        except NoPlaceError as error:
            lacking[candidate] = error.things
        except UserError as error:
            lacking[candidate] = (f"this model: {error}",)
    nearest, things = min(lacking.items(), key=lambda item: len(item[1]))
    others = "" if name is not None else "; no other family holds it either"
    raise UserError(f"{nearest} cannot hold {', '.join(things)}{others}")


def fit(name: str, family: Family, config: Any, ours: Mapping[str, Any]) -> Fitting:
    """Finds a place in a family for every option and every parameter of a model.

    Args:
        name: of the family.
        family: the family.
        config: ours.
        ours: our parameters by their paths.

    Raises:
        NoPlaceError: lists what has no place.
    """
    scheme = config.embedded_positions()
    config, ours, tables = prepare_positions(family, config, ours)
    settings, complete = write_fields(family.fields, config)
    if tables:
        settings[SCHEME] = scheme
    rules = _of_head(family.rules(complete), ours)
    parts = {rule.part for rule in rules if set(rule.our_names()) & ours.keys()}
    rules = [rule for rule in rules if rule.part in parts or not rule.part]
    shapes = shapes_of(_looped(complete), *sizes_of(ours), parts)
    if complete != config:
        added = shapes.keys() - shapes_of(_looped(config), *sizes_of(ours), parts).keys()
        dtype = next(iter(ours.values())).dtype
        ours = {**ours, **{path: np.zeros(shapes[path], dtype) for path in added}}
    rules += tables
    placed = {path for rule in rules for path in rule.our_names()}
    problems = [f"parameter {path}" for path in sorted(ours.keys() - placed)]
    problems += [f"a model without parameter {path}" for path in sorted(placed - ours.keys())]
    if problems:
        raise NoPlaceError(problems)
    for path, shape in shapes.items():
        if ours[path].shape != shape:
            problems.append(f"parameter {path} of the shape {ours[path].shape} (only {shape})")
    if problems:
        raise NoPlaceError(problems)
    return Fitting(name, settings, rules, dict(ours))


def _of_head(rules: list[Rule], ours: Mapping[str, Any]) -> list[Rule]:
    """Replaces the head for classes of texts by that for tags of tokens, which has no pooler."""
    of_pooler = {name for rule in rules if rule.part == "pool" for name in rule.our_names()}
    if not of_pooler or of_pooler & ours.keys() or "classifier/bias" not in ours:
        return rules
    others = [rule for rule in rules if rule.part != "classes"]
    return [*others, *affine("classifier", "classifier", part="tags")]


def sizes_of(ours: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the numbers of tokens and of classes of a model, or what stands for none."""
    sizes = []
    for path, without in (("embedding/table", 0), ("classifier/bias", 2)):
        sizes.append(ours[path].shape[0] if path in ours else without)
    return sizes[0], sizes[1]


def _looped(config: Any) -> Any:
    return dataclasses.replace(config, scan_layers=False)
