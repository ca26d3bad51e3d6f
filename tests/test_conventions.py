import dataclasses
import itertools

import pytest

from flax_transformer.conventions import CONVENTIONS, FIELDS, apply_convention
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.presets import apply_preset


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


# In what each system differs from the paper.
DIFFERENCES = {
    "paper": set(),
    "t2t": {
        "model.positions",
        "model.norm_placement",
        "optimizer.b2",
        "task.smoothing_over",
        "data.batch_scope",
    },
    "fairseq": {
        "model.positions",
        "model.norm_epsilon",
        "model.attention_bias",
        "task.smoothing_over",
        "decoding.length_penalty",
        "decoding.alpha",
        "data.batch_scope",
    },
    "flax": {
        "model.positions",
        "model.norm_placement",
        "model.embedding_scaling",
        "task.smoothing_over",
        "data.batch_scope",
    },
    "opennmt": {
        "model.norm_placement",
        "optimizer.b2",
        "decoding.length_penalty",
        "decoding.alpha",
        "data.batch_scope",
    },
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_differs_from_the_paper_in_what_is_known_of_its_system(name):
    paper = apply_convention(Experiment(), "paper")
    assert differing(paper, apply_convention(paper, name)) == DIFFERENCES[name]


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(CONVENTIONS, 2)))
def test_one_convention_takes_the_place_of_another(one, other):
    """Nothing of the first is left, and any two differ."""
    experiment = apply_convention(Experiment(), other)
    replaced = apply_convention(apply_convention(Experiment(), one), other)
    assert replaced == experiment
    assert differing(replaced, apply_convention(Experiment(), one))


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_listed_because_conventions_differ_in_it(path):
    assert len({entry.fields[path] for entry in CONVENTIONS.values()}) > 1


def test_the_defaults_are_the_paper():
    paper, ours = apply_convention(Experiment(), "paper"), Experiment()
    # The paper does not state it; ours is that of models in other systems.
    assert (paper.model.norm_epsilon, ours.model.norm_epsilon) == (1e-6, 1e-5)
    model = dataclasses.replace(ours.model, norm_epsilon=1e-6)
    assert paper == dataclasses.replace(ours, model=model)


def test_an_unknown_convention_gets_a_suggestion():
    with pytest.raises(UserError, match="unknown --convention 'farseq': did you mean 'fairseq'"):
        apply_convention(Experiment(), "farseq")
