"""`flax-transformer table3`."""

import dataclasses
import json
from typing import Any

from rich.console import Console

from flax_transformer.console import explain, show_table
from flax_transformer.errors import check_options
from flax_transformer.models.table3 import (
    FITTING_VOCAB_SIZE,
    PAPER_VOCAB_SIZE,
    Row,
    table3,
)
from flax_transformer.models.zoo import count_parameters

EXPLANATION = (
    "Only the embedding depends on the vocabulary: d_model parameters a token, 512 in base. With "
    "the 37,000 tokens of the paper's section 5.1, base has 63.0 million parameters; 65 are "
    "published. 41,100 tokens give 65.1, and every published count of B and C to the million.",
    "big needs another vocabulary: 36,000 tokens give its published 213 million, 41,100 would give "
    "218.4. So no single vocabulary gives all published counts.",
    "Blank cells of the paper are as in base. It has no counts for A, D and E. Our E has two "
    "tables of 1,024 positions, one for each side.",
)


@dataclasses.dataclass(frozen=True)
class Table3:
    """Show the paper's Table 3: published scores and parameter counts, and our counts."""

    vocab_size: int | None = None
    """Vocabulary size of our parameter counts; by default both the paper's 37,000 and the size
    that gives the published counts."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints the rows, and explains why the published counts need another vocabulary."""
        check_options(self, "vocab_size")
        rows = {name: self._row(row) for name, row in table3().items()}
        if self.json:
            print(json.dumps(rows, indent=2))
            return
        console = Console()
        show_table(
            console,
            "Vaswani et al. 2017, Table 3: millions of parameters, published and counted with a "
            "vocabulary of that many tokens; perplexity and BLEU published for newstest2013",
            {name: _cells(row) for name, row in rows.items()},
        )
        for line in EXPLANATION:
            explain(console, line)

    def _row(self, row: Row) -> dict[str, Any]:
        sizes = [self.vocab_size] if self.vocab_size else [PAPER_VOCAB_SIZE, row.vocab_size]
        # Only the embedding depends on the vocabulary, so all counts follow from one.
        count = count_parameters(row.model, sizes[0])
        return {
            "change": row.change,
            "steps": row.num_steps,
            "published": {
                "parameters_in_millions": row.parameters,
                "perplexity": row.perplexity,
                "bleu": row.bleu,
            },
            "counted_parameters": {
                str(size): count + (size - sizes[0]) * row.model.d_model for size in sizes
            },
        }


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """The cells of a row of the table."""
    published = row["published"]
    (size, count), *fitting = row["counted_parameters"].items()
    fitting_sizes = f"at {FITTING_VOCAB_SIZE:,}, big {table3()['big'].vocab_size:,}"
    others = {fitting_sizes: f"{fitting[0][1] / 1e6:.1f}"} if fitting else {}
    return {
        "change": row["change"],
        "paper": str(published["parameters_in_millions"] or ""),
        f"at {int(size):,}": f"{count / 1e6:.1f}",
        **others,
        "PPL": f"{published['perplexity']:.2f}",
        "BLEU": f"{published['bleu']:.1f}",
    }
