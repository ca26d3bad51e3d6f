"""`flax-transformer attention`."""

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console
from tyro.conf import Positional

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import UserError
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import load
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.visualization.attention_view import view_attention
from flax_transformer.whole_files import check_target


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention(OfWorkdir):
    """Show where a model attends while it reads: one HTML page."""

    text: Positional[str]
    """Text to translate, to read or to classify; file of the image or video to classify."""
    target: str | None = None
    """Translation to show; by default the model's own."""
    length: int | None = None
    """Language models only: tokens to write after the text and to show; none if not given."""
    out: Path = Path("attention.html")
    """HTML page to write."""

    def run(self) -> None:
        """Writes the page, and prints its path and the model's output."""
        check_target(self.out, "page", "--out")
        options = self._checked_options()
        arguments = load(self.workdir, self.weights).attend(self.text, **options)
        path = view_attention(**arguments).save(self.out)
        # All characters that end a line.
        say(Console(), " ".join(arguments["title"].splitlines()))
        say(Console(), f"shown in {path}: open it in a browser")

    def _checked_options(self) -> dict[str, Any]:
        """The given options; checks before loading that this kind of model reads them all."""
        name, kind = find_task(Workdir(self.workdir).load())
        options = {"target": self.target, "length": self.length}
        given = {option: value for option, value in options.items() if value is not None}
        unread = [option for option in given if option not in kind.attention_options]
        if unread:
            raise UserError(
                f"{self.workdir} holds a model for {name}, which reads no --{unread[0]}: leave it "
                "out"
            )
        return given
