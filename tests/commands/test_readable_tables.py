"""Tables that break no word, on terminals of any width, in files and in pipes."""

import dataclasses
import functools
import io
import json
import re

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from flax_transformer import console as console_module
from flax_transformer.console import show_scores, show_table
from flax_transformer.evaluation.report import Record
from flax_transformer.evaluation.scores import Score
from flax_transformer.evaluation.wishes import HEADINGS, Verdict
from flax_transformer.models.zoo import count_parameters

COMMANDS = ["list", "table3", "positions", "conventions"]
WIDTHS = [40, 60, 80, 200]
count_once = functools.cache(count_parameters)  # counting takes half the time of a list


@pytest.fixture(autouse=True)
def quickly_measured(monkeypatch, tmp_path):
    """Skips measuring the schemes, which other tests do."""
    monkeypatch.chdir(tmp_path)
    command = "flax_transformer.commands.positions_command"
    no, yes = Verdict(False, "in [-63.5, 0] in 128 steps, in [-4,096, 0]"), Verdict(True, "apart")
    wishes = dict(zip(HEADINGS, (yes, no, yes, no), strict=True))
    monkeypatch.setattr(f"{command}.check_wishes", lambda _: wishes)
    monkeypatch.setattr(f"{command}.plot_positions", lambda *_: Figure())
    monkeypatch.setattr("flax_transformer.commands.list_command.count_parameters", count_once)


@pytest.fixture
def printed(run, monkeypatch):
    """Runs a command on a terminal of a width, or into a pipe; gives its lines and its tables."""
    tables = []

    def shown(console, title, rows):
        tables.append((title, rows))
        show_table(console, title, rows)

    def printed(command, width):
        module = f"flax_transformer.commands.{command}_command.show_table"
        monkeypatch.setattr(module, shown)
        # Makes rich see a terminal; without a width it assumes 80 columns.
        environment = {"FORCE_COLOR": "1", "COLUMNS": str(width), "LINES": "25"} if width else {}
        for name in ("FORCE_COLOR", "COLUMNS", "LINES"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        result = run(command)
        assert result.code == 0
        return re.sub(r"\x1b\[[0-9;]*m", "", result.out).splitlines(), tables

    return printed


def words_of(text: str) -> list[str]:
    return re.sub("[│┃]", " ", text).split()


def cells_of(rows) -> list[str]:
    numbers = lambda cell: f"{cell:,}" if isinstance(cell, int) else cell  # noqa: E731
    return [*rows, *(numbers(cell) for row in rows.values() for cell in row.values())]


@pytest.mark.parametrize("width", [*WIDTHS, None])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_is_broken(printed, command, width):
    lines, tables = printed(command, width)
    found = set(words_of("\n".join(lines)))
    assert tables
    for title, rows in tables:
        wanted = " ".join([title, *cells_of(rows)]).split()
        # In a block a heading ends in a colon.
        headings = " ".join(next(iter(rows.values()))).split()
        assert set(wanted) <= found
        assert {word for word in headings if f"{word}:" not in found} <= found
    if width:
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_gets_each_row_on_one_line(printed, command):
    lines, tables = printed(command, None)
    in_cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    for _, rows in tables:
        for name, row in rows.items():
            assert [name, *cells_of({"": row})[1:]] in in_cells


def test_a_number_is_whole_and_beside_its_name_in_a_block(printed):
    lines, _ = printed("list", 40)
    block = lines[lines.index("ViT-B/16") :][:6]
    assert block == [
        "ViT-B/16",
        "  model: VisionTransformer",
        "  parameters: 86,567,656",
        "  layers: 12",
        "  d_model: 768",
        "  heads: 12",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_table_is_there_as_json(run, command):
    assert json.loads(run(command, "--json").out)


def drawn(width, rows, **console) -> str:
    output = io.StringIO()
    show_table(Console(file=output, width=width, **console), "title", rows)
    return output.getvalue()


def test_the_widest_columns_give_way_and_no_others():
    rows = {"a": {"number": 1_234_567, "text": "one two three four five"}}
    assert drawn(36, rows, force_terminal=True, color_system=None, no_color=True) == (
        "title\n"
        "┏━━━━━━┳━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓\n"
        "┃ name ┃ number    ┃ text          ┃\n"
        "┡━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩\n"
        "│ a    │ 1,234,567 │ one two three │\n"
        "│      │           │ four five     │\n"
        "└──────┴───────────┴───────────────┘\n"
    )


def test_markup_in_a_cell_is_text():
    assert "in [bold]0" in drawn(80, {"a": {"b": "in [bold]0"}})


def test_a_score_is_whole_beside_a_long_signature(monkeypatch):
    signature = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5.1"
    record = Record(
        split="validation",
        decoding=None,
        dtype="float32",
        checkpoint_step=3,
        num_averaged=1,
        scores={
            "perplexity": Score("perplexity", 1234567.25),
            "bleu": Score("bleu", 31.25, signature),
        },
        details={},
        command=[],
        seed=0,
    )
    monkeypatch.delenv("COLUMNS", raising=False)
    for is_terminal in (True, False):
        output = io.StringIO()
        show_scores(record, Console(file=output, width=60, force_terminal=is_terminal))
        assert console_module.shown("perplexity", 1234567.25) in output.getvalue()
    assert signature in output.getvalue()
    assert output.getvalue().startswith("validation: checkpoint of step 3\n")
    several, output = dataclasses.replace(record, num_averaged=5), io.StringIO()
    show_scores(several, Console(file=output, width=60))
    assert output.getvalue().startswith("validation: mean of 5 checkpoints up to step 3\n")
