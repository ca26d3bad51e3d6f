import dataclasses
import itertools

import pytest

from flax_transformer.conventions import CONVENTIONS, FIELDS, apply_convention
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, apply_preset


def value(experiment: Experiment, path: str):
    part, field = path.split(".")
    return getattr(getattr(experiment, part), field)


def differing(one: Experiment, other: Experiment) -> set[str]:
    """The names of the fields in which two experiments differ."""
    return {
        f"{part.name}.{field.name}"
        for part in dataclasses.fields(one)
        if dataclasses.is_dataclass(getattr(one, part.name))
        for field in dataclasses.fields(getattr(one, part.name))
        if value(one, f"{part.name}.{field.name}") != value(other, f"{part.name}.{field.name}")
    }


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_sets_its_fields_and_no_others(name):
    # Every field of this experiment's is another than any convention's.
    before = apply_preset(Experiment(seed=3), "E-learned-positions")
    model = dataclasses.replace(before.model, norm_epsilon=0.5)
    before = dataclasses.replace(before, model=model)
    after = apply_convention(before, name)
    entry = CONVENTIONS[name]
    assert {path: value(after, path) for path in FIELDS} == entry.fields
    assert {"model.positions", "model.norm_epsilon"} <= differing(before, after) <= set(FIELDS)
    assert after.seed == 3


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_states_and_sources_every_field(name):
    entry = CONVENTIONS[name]
    assert list(entry.fields) == list(entry.sources) == list(FIELDS)
    assert all(entry.sources.values())
    assert entry.description


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(CONVENTIONS, 2)))
def test_conventions_differ(one, other):
    assert CONVENTIONS[one].fields != CONVENTIONS[other].fields


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_listed_because_conventions_differ_in_it(path):
    assert len({entry.fields[path] for entry in CONVENTIONS.values()}) > 1


def test_the_defaults_are_the_paper():
    assert apply_convention(Experiment(), "paper") == Experiment()


def test_an_unknown_convention_gets_a_suggestion():
    with pytest.raises(UserError, match="unknown convention 'farseq': did you mean 'fairseq'"):
        apply_convention(Experiment(), "farseq")
