"""`flax-transformer watch`."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.progress import track
from tyro.conf import Positional

from flax_transformer.console import say
from flax_transformer.errors import UserError
from flax_transformer.evaluation.metric import shown_scores
from flax_transformer.inspection.activations import activation_shapes
from flax_transformer.tasks.task import Example, Fields, Task
from flax_transformer.tasks.text_predictor import refuse_target
from flax_transformer.training.assemble import all_damaged
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.kept_models import KeptModels
from flax_transformer.training.kept_scores import kept_lines
from flax_transformer.training.metrics import validation_lines
from flax_transformer.training.training_config import TrainingConfig
from flax_transformer.visualization.attention_view import view_readings
from flax_transformer.visualization.reading import Reading, check_page_size
from flax_transformer.whole_files import check_target


class Look(NamedTuple):
    """A model at one checkpoint.

    Attributes:
        step: of the checkpoint.
        output: of the model for the example; "" if its output is not a text.
        target: translation that the model reads; None if it reads none.
        shown: arguments of `view_attention`.
    """

    step: int
    output: str
    target: str | None
    shown: Fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watch:
    """Show how attention changes in a training: one HTML page with a slider over checkpoints.

    At each checkpoint the page shows the attention over one example, the output for it, and the
    scores of the validation split. A training keeps its last checkpoints and the best one; with a
    larger --training.keep-checkpoints it keeps more. A translator reads the same translation at
    every checkpoint: the reference, or the output of the last checkpoint if there is none.
    """

    text: Positional[tuple[str, ...]]
    """Text to translate, to read or to classify; file of the image or video to classify; by default
    the first example of the validation split."""
    workdir: Path
    """Folder of a training, which may be in progress."""
    target: str | None = None
    """For a translator: the translation to read."""
    out: Path = Path("watch.html")
    """HTML page to write."""
    json: bool = False
    """Print JSON; the page is written too."""

    def run(self) -> None:
        """Writes the page, and prints the output and the scores at each checkpoint."""
        check_target(self.out, "page", "--out")
        if len(self.text) > 1:
            raise UserError(
                f"{len(self.text)} texts are given, but one is shown: give one, in quotation marks"
            )
        with closing(KeptModels(self.workdir)) as models:
            self._check(models)
            example = self._example(models)
            looks = self._looks(models, example)
        training = models.experiment.training
        lines = validation_lines(Workdir(self.workdir).metrics, training.score)
        scores = {look.step: _scores(lines.get(look.step, {})) for look in looks}
        readings = [_reading(look, scores[look.step], example) for look in looks]
        page = view_readings(readings, by="step", title="Attention at checkpoints").save(self.out)
        if self.json:
            self._print_json(models.experiment.seed, example, looks, scores)
            return
        console = Console()
        for reading in readings:
            say(console, f"{reading.name}: {'; '.join(reading.notes)}")
        say(console, _how_many(len(looks), training))
        say(console, f"shown in {page}: open it in a browser")

    def _check(self, models: KeptModels) -> None:
        """Rejects a model without attention, and a target that the model does not read."""
        task = models.task
        names = activation_shapes(task.model, models.shapes, task.given(), method=task.method)
        if not any(name.endswith(".weights") for name in names):
            raise UserError(f"{self.workdir} holds a model without attention: choose another one")
        if not _reads_target(task):
            refuse_target(self.target)

    def _example(self, models: KeptModels) -> Example:
        """The given text, or the first example of the validation split."""
        if self.text:
            return Example(self.text[0])
        split = str(models.experiment.data.validation_split)
        try:
            return models.task.first_example(split)
        except UserError as error:
            raise UserError(
                f"no first example of {split} ({error}): give a text, or the path of a file"
            ) from error

    def _looks(self, models: KeptModels, example: Example) -> list[Look]:
        """Looks at the last checkpoint first, as the others may have to read its output."""
        target = example.reference or None if self.target is None else self.target
        looks: list[Look] = []
        console = Console(stderr=True)
        steps = models.steps[::-1]
        for step in track(steps, "checkpoints", console=console, disable=not console.is_terminal):
            look = _look(models, step, example.given, target)
            if look is not None:
                check_page_size("watch", look.shown["weights"], len(models.steps))
                looks.insert(0, look)
                target = look.target
        if not looks:
            raise all_damaged(self.workdir)
        return looks

    def _print_json(
        self,
        seed: int,
        example: Example,
        looks: Sequence[Look],
        scores: Mapping[int, Mapping[str, float]],
    ) -> None:
        record = {
            "command": sys.argv,
            "seed": seed,
            "devices": [device.device_kind for device in jax.local_devices()],
            "text": example.given if isinstance(example.given, str) else None,
            "target": looks[0].target,
            "reference": example.reference or None,
            "checkpoints": [
                {"step": look.step, "output": look.output, "scores": scores[look.step]}
                for look in looks
            ],
        }
        print(json.dumps(record, ensure_ascii=False, indent=2))


def _how_many(count: int, training: TrainingConfig) -> str:
    """Says how many checkpoints are kept, and the option with which there are more."""
    counted = "1 checkpoint is" if count == 1 else f"{count} checkpoints are"
    if count < training.keep_checkpoints:
        more = f"--training.checkpoint-every-steps below {training.checkpoint_every_steps}"
    else:
        more = f"--training.keep-checkpoints above {training.keep_checkpoints}"
    return f"{counted} kept: for more, train with {more}"


def _reads_target(task: Task) -> bool:
    return "target" in task.attention_options


def _look(models: KeptModels, step: int, given: Any, target: str | None) -> Look | None:
    """Looks at a checkpoint; None if it is damaged.

    Its variables are freed at the end, so that only one checkpoint is in memory.
    """
    variables = models.read(step)
    if variables is None:
        return None
    predictor = models.task.predictor(variables)
    output = predictor.answer(given)
    if not _reads_target(models.task):
        return Look(step, output, None, predictor.attend(given))
    if target is None and given.strip() and not output.strip():
        raise UserError(f"the output at step {step} is blank: give a --target to read")
    target = output if target is None else target
    return Look(step, output, target, predictor.attend(given, target=target))


def _scores(line: Mapping[str, Any]) -> dict[str, float]:
    """The scores of a line of metrics."""
    return {name: value for name, value in line.items() if name not in ("step", "kind")}


def _reading(look: Look, scores: Mapping[str, float], example: Example) -> Reading:
    """A checkpoint as the page shows it."""
    lines = {"output": look.output, "reference": example.reference}
    notes = [f"{name}: {text}" for name, text in lines.items() if text]
    figures = shown_scores(scores) if scores else "not scored at this step"
    notes = [*kept_lines(notes), f"validation: {figures}"]
    return Reading(**look.shown, name=f"step {look.step:,}", notes=notes)
