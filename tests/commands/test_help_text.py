"""How --help and its usage line show the values of options and arguments."""

import re

import pytest
from command_line import assert_is_error

from flax_transformer.commands import COMMANDS


def placeholder(text: str, option: str) -> str:
    """What follows an option or an argument in a help text."""
    found = re.search(rf"^│ {re.escape(option)} +(.+?)(?:  .*)? *│$", text, re.MULTILINE)
    assert found, f"the help shows no {option}"
    return found[1].strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_placeholder_is_nested_or_shows_none_as_a_choice(run, name):
    shown = run(name, "--help").out
    assert shown.startswith(f"usage: flax-transformer {name}")
    assert shown.splitlines()[-1].startswith("--parts FILE, with any command, first imports")
    assert not re.search(r"\{None|\[\[|\[STR|\[PATH|default: \)", shown)


@pytest.mark.parametrize(
    ("name", "shown"), [("classify", "[INPUTS ...]"), ("plot", "[WORKDIRS ...]"), ("train", "PATH")]
)
def test_a_list_of_arguments_is_named_after_its_field(run, name, shown):
    assert placeholder(run(name, "--help").out, shown)


def test_the_usage_has_the_same_placeholders(run):
    usage = run("plot", "--help").out.splitlines()[0]
    assert usage.endswith("[-h] [WORKDIRS ...] [--out PATH] [--score STR]")


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--data.batch-size", "INT"),
        ("--model.attention-window", "INT"),
        ("--model.positions", "STR"),
        ("--optimizer.learning-rate", "FLOAT|None"),
        ("--init-from", "STR"),
    ],
)
def test_none_is_shown_where_the_experiment_has_another_value(run, option, shown):
    assert placeholder(run("train", "small.py", "--help").out, option) == shown


def test_an_explanation_is_broken_only_at_the_width(run):
    lines = re.findall(r"^│ {7,}(\S.*?) *│$", run("evaluate", "--help").out, re.MULTILINE)
    text = " ".join(lines)
    assert "the checkpoint with the best validation score, or the last one." in text
    line = next(line for line in lines if "best validation" in line)
    assert not line.endswith("best validation")


def test_a_value_of_another_type_is_reported_without_the_other_choices(run, folder):
    result = run("train", "small.py", "--workdir", "new", "--data.batch-size", "x")
    assert_is_error(result, "--data.batch-size must be a whole number, not 'x'$")
    assert not (folder / "new").exists()
