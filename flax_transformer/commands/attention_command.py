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
from flax_transformer.whole_files import check_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention(OfWorkdir):
    """Show where a model looks while it reads: one page for any browser."""

    text: Positional[str]
    """Text to translate, to read or to classify; file of the image or video to classify."""
    target: str | None = None
    """Translation to look at; the one that the training's decoding finds if not given."""
    length: int | None = None
    """Of a language model: tokens to write after the text, and to look at; none if not given."""
    out: Path = Path("attention.html")
    """Page to write."""

    def run(self) -> None:
        """Writes the page and says where, with what the model made of the text."""
        check_folder(self.out, "page")
        options = self._checked_options()
        arguments = load(self.workdir, self.weights).attend(self.text, **options)
        path = view_attention(**arguments).save(self.out)
        # Whatever a reader takes for the end of a line.
        say(Console(), " ".join(arguments["title"].splitlines()))
        say(Console(), f"shown in {path}: open it in a browser")

    def _checked_options(self) -> dict[str, Any]:
        """The options given, all of which this kind of model must read; checked before loading."""
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
