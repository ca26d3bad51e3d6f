"""The tables of the page "Conventions", from the data that `--convention` uses."""

from sphinx.application import Sphinx  # pyright: ignore[reportMissingImports]

from flax_transformer.conventions import CONVENTIONS, FIELDS

MARK = "<!-- conventions -->"


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replaces the mark of the page by the tables."""
    if docname == "conventions":
        assert MARK in source[0]
        source[0] = source[0].replace(MARK, f"{_values()}\n\n{_sources()}")


def _values() -> str:
    """One row for each field, one column for each convention."""
    rows = [["field", *CONVENTIONS], ["---"] * (1 + len(CONVENTIONS))]
    for field in FIELDS:
        values = (convention.fields[field] for convention in CONVENTIONS.values())
        rows.append([f"`{field}`", *(f"{value}" for value in values)])
    meanings = "\n".join(f"`{field}`\n: {meaning}.\n" for field, meaning in FIELDS.items())
    return f"{_table(rows)}\n\n## What each field means\n{meanings}"


def _sources() -> str:
    """One section for each convention: where each value is stated."""
    sections = ["## Where each value is stated"]
    for name, convention in CONVENTIONS.items():
        rows = [["field", "value", "stated in"], ["---"] * 3]
        rows += [
            [f"`{field}`", f"{convention.fields[field]}", convention.sources[field]]
            for field in FIELDS
        ]
        sections.append(f"### `--convention {name}`\n{convention.description}.\n\n{_table(rows)}")
    return "\n\n".join(sections)


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
