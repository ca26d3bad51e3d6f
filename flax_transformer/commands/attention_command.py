"""`flax-transformer attention`."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from tyro.conf import Positional

from flax_transformer.commands.inspected_model import InspectedModel
from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import UserError
from flax_transformer.tasks.head_readings import read_without_heads
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.assemble import load
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.visualization.attention_view import view_readings
from flax_transformer.visualization.reading import Reading
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
    beside: Path | None = None
    """Folder of another training, whose model is shown beside this one."""
    ablate: bool = False
    """Show also the model without each head and feed-forward network: click one to take it away."""
    out: Path = Path("attention.html")
    """HTML page to write."""

    def run(self) -> None:
        """Writes the page, and prints its path and the model's output."""
        check_target(self.out, "page", "--out")
        if self.beside is not None and (self.ablate or self.beside == self.workdir):
            other = "--ablate" if self.ablate else f"--workdir {self.workdir}"
            raise UserError(f"--beside {self.beside} does not go with {other}: leave one out")
        workdirs = [self.workdir] if self.beside is None else [self.workdir, self.beside]
        options, *_ = map(self._checked_options, workdirs)
        if self.ablate:
            readings = self._ablated(options)
        else:
            readings = [
                Reading(
                    **load(workdir, self.weights).attend(self.text, **options), name=str(workdir)
                )
                for workdir in workdirs
            ]
        title = readings[0].title if self.beside is None else self.text
        path = view_readings(readings, title=title).save(self.out)
        for reading in readings if self.beside is not None else readings[:1]:
            # All characters that end a line.
            say(Console(), " ".join(reading.title.splitlines()))
        say(Console(), f"shown in {path}: open it in a browser")

    def _ablated(self, options: dict[str, Any]) -> list[Reading]:
        opened = InspectedModel.open(self.workdir, self.weights)
        opened.check_logits()
        console = Console(stderr=True)
        progress = partial(
            track, description="parts", console=console, disable=not console.is_terminal
        )
        return read_without_heads(opened.task, opened.variables, self.text, options, progress)

    def _checked_options(self, workdir: Path) -> dict[str, Any]:
        """The given options; checks before loading that this kind of model reads them all."""
        name, kind = find_task(Workdir(workdir).load())
        options = {"target": self.target, "length": self.length}
        given = {option: value for option, value in options.items() if value is not None}
        unread = [option for option in given if option not in kind.attention_options]
        if unread:
            raise UserError(
                f"{workdir} holds a model for {name}, which reads no --{unread[0]}: leave it out"
            )
        return given
