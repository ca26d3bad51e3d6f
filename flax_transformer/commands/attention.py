"""`flax-transformer attention`."""

import dataclasses
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from flax_transformer.console import say
from flax_transformer.tasks.attention import translation_attention
from flax_transformer.training.assemble import Weights, load
from flax_transformer.visualization.attention_view import view_attention
from flax_transformer.whole_files import check_folder


@dataclasses.dataclass(frozen=True)
class Attention:
    """Show where a model looks while it translates a text: one page for any browser."""

    text: Positional[str]
    """Text to translate."""
    workdir: Path
    """Folder of a training."""
    target: str | None = None
    """Translation to look at; the one that the training's decoding finds if not given."""
    out: Path = Path("attention.html")
    """Page to write."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""

    def run(self) -> None:
        """Writes the page and says where, with the translation that it shows."""
        check_folder(self.out, "page")
        found = translation_attention(load(self.workdir, self.weights), self.text, self.target)
        title = f"{self.text} → {found.translation}"
        view = view_attention(found.weights, found.tokens, found.target_tokens, title=title)
        path = view.save(self.out)
        # Whatever a reader takes for the end of a line.
        say(Console(), " ".join(title.splitlines()))
        say(Console(), f"shown in {path}: open it in a browser")
