import json

from flax_transformer.conventions import CONVENTIONS, FIELDS


def test_json_holds_every_value_and_its_source(run):
    printed = json.loads(run("conventions", "--json").out)
    assert printed["fields"] == FIELDS
    conventions = {name: entry._asdict() for name, entry in CONVENTIONS.items()}
    assert printed["conventions"] == conventions


def test_the_table_has_a_line_a_field_and_a_column_a_convention(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    printed = run("conventions").out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines()]
    lines = {line[0]: line[1:] for line in cells if line}
    assert lines == {
        path: [str(entry.fields[path]) for entry in CONVENTIONS.values()] for path in FIELDS
    }
    assert all(f"{path}: {meaning}" in printed for path, meaning in FIELDS.items())
