"""The page of options lists every value of an option that a registry has, and no other."""

import re
import typing
from collections.abc import Iterable
from pathlib import Path

import pytest

from flax_transformer.conventions import CONVENTIONS
from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.modules import NORMS
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS

PAGE = (Path(__file__).parent.parent / "docs" / "guides" / "options.md").read_text("utf-8")


def values_of(config: type, field: str) -> tuple[str, ...]:
    """The values of a field whose type lists them."""
    return typing.get_args(typing.get_type_hints(config)[field])


def listed(option: str) -> set[str]:
    """The values in the row of a table that begins with the option, or holds it among others.

    The lists of several options of a row are separated by semicolons; what is in parentheses or
    after a colon explains a value or the list.
    """
    row = re.search(rf"^\|([^|\n]*`{re.escape(option)}`[^|\n]*)\|([^|\n]*)\|", PAGE, re.M)
    assert row, f"docs/guides/options.md has no row of {option}"
    options = re.findall(r"`(--[^`]+)`", row[1])
    cell = re.sub(r"\([^)]*\)|`", "", row[2]).partition(":")[0]
    values = cell.split(";")[options.index(option)]
    return {value.strip() for value in values.split(",")}


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--model.positions", SCHEMES),
        ("--model.norm", NORMS),
        ("--model.norm-placement", values_of(EncoderDecoderConfig, "norm_placement")),
        ("--model.activation", ACTIVATIONS),
        ("--optimizer.name", OPTIMIZERS),
        ("--optimizer.schedule", values_of(OptimizerConfig, "schedule")),
        ("--convention", CONVENTIONS),
    ],
)
def test_the_page_lists_the_values_of_an_option(option: str, values: Iterable[str]):
    assert listed(option) == set(values)
