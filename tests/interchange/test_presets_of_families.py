"""Sizes of the zoo that are models of our families: what a published folder of each would say."""

import dataclasses
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

# The parameters that a method adds to those of the body.
PARTS = {"pool": {"pool"}, "predict_tokens": {"tokens"}}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_the_published_config_says(name):
    entry: Any = ZOO[name]
    family = FAMILIES[PRESETS[name].family]
    settings = PRESETS[name].settings
    read = family.config(**read_fields(family.fields, settings, family.config))
    # Of a folder, this is read from the tensors.
    read = dataclasses.replace(read, tied_logits=settings.get("tie_word_embeddings", True))
    assert read == entry.config
    assert entry.model.vocab_size == settings["vocab_size"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_tensors_of_a_preset_have_the_published_parameters(name):
    entry: Any = ZOO[name]
    parts = PARTS.get(entry.method, set())
    rules = FAMILIES[PRESETS[name].family].rules(entry.config)
    rules = [rule for rule in rules if not rule.part or rule.part in parts]
    shapes = shapes_of(entry.config, entry.model.vocab_size, 2, parts)
    theirs = their_shapes(rules, shapes, axes_of(entry.config))
    assert sum(map(math.prod, theirs.values())) == entry.parameters


def test_there_is_a_preset_of_every_family():
    # These are the defaults of our configs.
    assert {preset.family for preset in PRESETS.values()} | {"gpt2", "vit"} == set(FAMILIES)
