import doctest
import importlib
import pkgutil

import pytest

import flax_transformer

# The installed package, wherever it is: pytest's own collection of doctests would want the sources.
MODULES = [
    module.name
    for module in pkgutil.walk_packages(flax_transformer.__path__, "flax_transformer.")
    if not module.ispkg
]


@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_right(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        example
        for name in MODULES
        for found in finder.find(importlib.import_module(name))
        for example in found.examples
    ]
    assert len(examples) > 50
