"""`flax-transformer conventions`."""

import dataclasses
import json

from rich.console import Console

from flax_transformer.console import explain, show_table
from flax_transformer.conventions import CONVENTIONS, FIELDS


@dataclasses.dataclass(frozen=True)
class Conventions:
    """Show the settings that train --convention NAME chooses, for every NAME."""

    json: bool = False
    """Print JSON, with the source of every value."""

    def run(self) -> None:
        """Prints one line per field, one column per convention, and their meanings."""
        if self.json:
            conventions = {name: entry._asdict() for name, entry in CONVENTIONS.items()}
            print(json.dumps({"fields": FIELDS, "conventions": conventions}, indent=2))
            return
        console = Console()
        rows = {
            field: {name: str(entry.fields[field]) for name, entry in CONVENTIONS.items()}
            for field in FIELDS
        }
        show_table(console, "train --convention NAME sets", rows)
        descriptions = {name: entry.description for name, entry in CONVENTIONS.items()}
        for name, meaning in (FIELDS | descriptions).items():
            explain(console, f"{name}: {meaning}")
