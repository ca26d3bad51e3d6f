import json
import re

import pytest
from command_line import assert_is_error

from flax_transformer.commands.table3_command import EXPLANATION
from flax_transformer.models.table3 import table3
from flax_transformer.models.zoo import count_parameters


def test_the_rows_stand_beside_their_counts(run):
    table = json.loads(run("table3", "--json").out)
    assert list(table) == list(table3())
    for name, row in table3().items():
        published = table[name]["published"]
        assert tuple(published.values()) == (row.parameters, row.perplexity, row.bleu)
        assert list(table[name]["counted_parameters"]) == ["37000", str(row.vocab_size)]
    big = table["big"]["counted_parameters"]
    assert big == {
        str(size): count_parameters(table3()["big"].model, size) for size in (37000, 36000)
    }


def test_the_table_is_for_people(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    printed = run("table3", "--vocab-size", "10007").out
    cells = [[cell.strip() for cell in line.split("│")] for line in printed.splitlines()]
    lines = {line[1]: line[2:-1] for line in cells if len(line) > 1}
    assert set(table3()) <= set(lines)
    million = count_parameters(table3()["B-key-dim-16"].model, 10007) / 1e6
    assert lines["B-key-dim-16"] == [
        *("keys of 16, values of 64", "58", f"{million:.1f}", "5.16", "25.1"),
    ]
    assert "at 10,007" in printed
    assert "at 41,100" not in printed
    assert all(line in printed for line in EXPLANATION)


@pytest.mark.parametrize(
    ("words", "name", "vocab_size"),
    [
        (r"base has (\S+) million", "base", 37_000),
        (r"41,100 tokens give (\S+), and", "base", 41_100),
        (r"41,100 would give (\S+)\.", "big", 41_100),
    ],
)
def test_the_explanation_counts_right(words, name, vocab_size):
    said = re.search(words, " ".join(EXPLANATION))
    assert said is not None
    assert float(said[1]) == round(count_parameters(table3()[name].model, vocab_size) / 1e6, 1)


def test_a_vocabulary_holds_something(run):
    assert_is_error(run("table3", "--vocab-size", "0"), "--vocab-size must be at least 1, not 0")
