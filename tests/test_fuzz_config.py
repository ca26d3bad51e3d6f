"""Configurations of any values: an experiment, or one line that says what is wrong."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unchecked import unchecked

from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment

FUZZ = settings(deadline=None, derandomize=True, max_examples=151)
DEFAULT = Experiment().to_json()
FIELDS = [
    (part, name)
    for part, fields in DEFAULT.items()
    for name in (fields if isinstance(fields, dict) else [None])
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.integers(),
    st.floats(),
    st.text(max_size=7),
    st.sampled_from(["rms", "rotary", "cosine", "greedy", "device", "bfloat16", "text_files", ""]),
    st.lists(st.integers(), max_size=2),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*DEFAULT, "sede"]) | st.text(max_size=3), inner, max_size=3
        )
    ),
)


def read(data) -> Experiment | None:
    """The experiment of what may be one; None if it was refused in one line."""
    with unchecked():
        try:
            return Experiment.from_json(data)
        except UserError as error:
            message = str(error)
    assert "\n" not in message
    assert "$" not in message or "$" in str(data)
    return None


def has_types_of(value, default) -> bool:
    """Whether a field got nothing that its kind cannot be; None stands for a number or a text."""
    if default is None:
        return not isinstance(value, list | dict)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return type(value) is type(default) or (isinstance(default, float) and whole) or value is None


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), min_size=1, max_size=3))
def test_fields_of_any_values_are_kept_as_they_are_or_refused(changes):
    data = copy.deepcopy(DEFAULT)
    for (part, name), value in changes:
        if name is None:
            data[part] = value
        else:
            data[part][name] = value
    experiment = read(data)
    if experiment is None:
        return
    assert experiment.to_json() == data
    for (part, name), _ in changes:
        found = data[part] if name is None else data[part][name]
        assert has_types_of(found, DEFAULT[part] if name is None else DEFAULT[part][name])
    # What is taken survives the workdir.
    assert Experiment.from_json(json.loads(json.dumps(data))) == experiment


@FUZZ
@given(JSON)
def test_any_json_is_an_experiment_or_refused(data):
    experiment = read(data)
    if experiment is not None:
        assert isinstance(data, dict)
        assert set(data) <= set(DEFAULT)


@pytest.mark.parametrize("name", ["num_head", "d_ffs", "Norm"])
def test_no_unknown_field_is_ignored(name):
    data = copy.deepcopy(DEFAULT)
    data["model"][name] = 1
    assert read(data) is None
