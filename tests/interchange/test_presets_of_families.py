"""Sizes of the zoo that are models of our families: what a published folder of each would say."""

import math
from typing import Any

import pytest
from published_presets import PRESETS

from flax_transformer.interchange import FAMILIES
from flax_transformer.interchange.config_fields import read_fields
from flax_transformer.interchange.model_parameters import shapes_of
from flax_transformer.interchange.published_folders import axes_of
from flax_transformer.interchange.rules import their_shapes
from flax_transformer.models import ZOO


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_the_published_config_says(name):
    entry: Any = ZOO[name]
    family = FAMILIES[PRESETS[name].family]
    settings = PRESETS[name].settings
    assert family.config(**read_fields(family.fields, settings, family.config)) == entry.config
    assert entry.model.vocab_size == settings["vocab_size"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_tensors_of_a_preset_have_the_published_parameters(name):
    entry: Any = ZOO[name]
    parts = {"pool"} if entry.method == "pool" else set()
    rules = FAMILIES[PRESETS[name].family].rules(entry.config)
    rules = [rule for rule in rules if not rule.part or rule.part in parts]
    shapes = shapes_of(entry.config, entry.model.vocab_size, 2, parts)
    theirs = their_shapes(rules, shapes, axes_of(entry.config))
    assert sum(map(math.prod, theirs.values())) == entry.parameters
